"""A body that a real reader takes is read here in the same way, or has a fault.

The readers are what endpoints are made of: Starlette's (`json.loads` of the bytes) with a pydantic
model in its lax mode, and `JSON.parse` of Node.

CAB_READER_EXAMPLES=100000      a long run
"""

import json
import os
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import NamedTuple

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from cab.proxy.meter import dialect_for
from cab.proxy.meter.request.body import read_body
from cab.proxy.meter.request.request import read_request
from tests.tools.node import FOLDER, not_here

EXAMPLES = int(os.environ.get("CAB_READER_EXAMPLES", "60"))
PATH = "/v1/chat/completions"
CHAT = dialect_for("POST", PATH)


class Read(NamedTuple):
    """What a reader finds in a body; None, an empty text and false ask for the same."""

    model: object
    stream: bool
    include_usage: bool


Reader = Callable[[bytes], Read | None]
"""Returns None for a body that it refuses."""


class Options(BaseModel):
    """As vLLM and others declare it."""

    include_usage: bool | None = None


class ChatRequest(BaseModel):
    """As vLLM and others declare it."""

    model: str | None = None
    stream: bool | None = False
    stream_options: Options | None = None


def starlette(body: bytes) -> Read | None:
    try:
        # `Request.json` does this, whatever the content type says.
        asked = ChatRequest.model_validate(json.loads(body))
    except (ValueError, RecursionError, ValidationError):
        return None
    usage = asked.stream_options is not None and bool(asked.stream_options.include_usage)
    return Read(asked.model or None, bool(asked.stream), usage)


@pytest.fixture(scope="module")
def node() -> Iterator[Reader]:
    """A process that reads one body after the other."""
    program = shutil.which("node")
    if program is None:
        not_here("node is missing: install Node.js 20 or newer to compare with its reader")
    script = FOLDER / "json_reader.mjs"
    with subprocess.Popen(
        (program, script), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        stdin, stdout = process.stdin, process.stdout

        def read(body: bytes) -> Read | None:
            stdin.write(b64encode(body) + b"\n")
            stdin.flush()
            answer = json.loads(stdout.readline())
            return None if answer is None else Read(**answer)

        yield read
        stdin.close()


NAMES = st.sampled_from(
    [
        *('"model"', '"stream"', '"stream_options"', '"include_usage"', '"n"', '"messages"'),
        *('"Stream"', '"MODEL"', r'"\u0073tream"', r'"mod\u0065l"', '"\u017ftream"', '"stream "'),
        *(r'"stream\u0000"', '"__proto__"', '"constructor"', "stream", "'stream'"),
    ]
)
SCALARS = st.sampled_from(
    [
        *("true", "false", "null", "0", "1", "-0", "1.0", "1e400", "NaN", "Infinity", "True"),
        *('""', '"m"', '"gpt-5"', '"true"', '"1"', '"on"', '"yes"', '"f"', r'"\ud83d"', "01"),
        *('"\x00"', '"\t"', r'"\x41"', "[]", "{}", "[true]", "9" * 5000, "[" * 300 + "]" * 300),
    ]
)
SPACE = st.sampled_from(["", " ", "\n", "\t", "\x0b", "\u00a0", "\ufeff", "/**/"])


def objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return texts of objects, with repeated members and odd commas."""
    member = st.tuples(NAMES, SPACE, values).map(lambda m: f"{m[0]}{m[1]}:{m[2]}")
    ends = st.sampled_from(["}", "}", "}", ",}", "", "}}", "} x", "}\x00"])
    return st.tuples(st.lists(member, max_size=5), ends).map(lambda o: "{" + ",".join(o[0]) + o[1])


def plain_objects() -> st.SearchStrategy[str]:
    """Return texts that JSON has a value for, with odd values in the members that matter."""
    text = st.text(max_size=3)
    value = st.none() | st.booleans() | st.integers() | st.floats() | text | st.lists(text)
    names = st.sampled_from(["model", "stream", "stream_options", "Model", "n"])
    usage = st.dictionaries(st.sampled_from(["include_usage", "a"]), value, max_size=2)
    return st.dictionaries(names, value | usage, max_size=4).map(json.dumps)


ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1")


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Draw a body: a text of an object in some encoding, perhaps with a byte changed."""
    text = draw(SPACE) + draw(plain_objects() | objects(SCALARS | objects(SCALARS)))
    body = text.encode(draw(st.sampled_from(ENCODINGS)), "backslashreplace")
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(body)))
        body = body[:at] + draw(st.binary(max_size=2)) + body[at + draw(st.integers(0, 2)) :]
    return body


def read_here(body: bytes) -> tuple[Read, str | None]:
    """Return what CAB finds in a body, and its fault."""
    read = read_body(CHAT, body, "")
    facts, _ = read_request(CHAT, PATH, body, read, inject_usage=False)
    asked = Read(facts.model, bool(facts.stream), facts.wants_usage)
    return asked, facts.body_fault


def check(body: bytes, there: Read | None) -> None:
    """Hold what a reader finds in a body against what is found here."""
    if there is None or not body:
        return
    here, fault = read_here(body)
    if fault is not None:
        return
    # Usage is of streams only; half a surrogate pair cannot be written, and no model is named so.
    usage = there.stream and there.include_usage
    model = there.model
    if isinstance(model, str):
        model = model.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert here == Read(model, there.stream, usage)


@pytest.mark.parametrize("name", ["starlette", "node"])
def test_the_same_verdict_or_refused(name: str, request: pytest.FixtureRequest) -> None:
    """Whatever is sent: no reader sees another model, a stream or usage that is not seen here."""
    reader: Reader = starlette if name == "starlette" else request.getfixturevalue("node")

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(bodies())
    def run(body: bytes) -> None:
        check(body, reader(body))

    run()


@pytest.mark.parametrize(
    ("body", "reads"),
    [
        (b'{"model":"m","stream":true}', Read("m", stream=True, include_usage=False)),
        (b'{"stream":"on"}', Read(None, stream=True, include_usage=False)),
        (b'{"stream":false,"stream":1}', Read(None, stream=True, include_usage=False)),
        ('{"stream":true}'.encode("utf-16"), Read(None, stream=True, include_usage=False)),
        (b'{"stream":1,}', None),
    ],
)
def test_the_reader_reads(body: bytes, reads: Read | None) -> None:
    """The comparison compares something: what an endpoint takes is taken, and seen as it sees it."""
    assert starlette(body) == reads
    check(body, reads)


def test_a_difference_would_be_seen() -> None:
    """A reader that sees another model in a body without a fault fails the check."""
    body = orjson.dumps({"model": "a", "stream": False})
    with pytest.raises(AssertionError):
        check(body, Read("b", stream=False, include_usage=False))
