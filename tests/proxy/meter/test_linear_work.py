"""Ten times as much text takes about ten times as much work, whatever an agent or an endpoint writes."""

import time
from collections.abc import Callable

import orjson
import pytest

from cab.proxy.meter import CallMeter, dialect_for, may_cost_unmetered, path_fault
from cab.proxy.meter.refused_usage import refuses_usage
from cab.proxy.meter.request.form import form_members
from cab.proxy.tokens.model_families import encoding_of, family_of

CHAT, GEMINI = "/v1/chat/completions", "/v1beta/models/m:streamGenerateContent"
STREAM, JSON = "text/event-stream", "application/json"
MOST = 25
"""Times; a cache that only the smaller text fits into makes up to 18 of 10, and work by the square 100."""
Work = Callable[[int], object]


def sent(make: Callable[[int], bytes], path: str = CHAT) -> Work:
    """Return the work on a request's body of a size."""
    return lambda n: CallMeter(dialect_for("POST", path), path, make(n))


def answered(make: Callable[[int], bytes], content_type: str = STREAM, path: str = CHAT) -> Work:
    """Return the work on an answer of a size, which comes in pieces."""

    def work(n: int) -> object:
        meter, body = CallMeter(dialect_for("POST", path), path, b'{"stream":true}'), make(n)
        meter.start(200, content_type, "", None)
        for start in range(0, len(body), 1 << 16):
            meter.feed(body[start : start + (1 << 16)], 1)
        meter.finish(1)
        return meter.outcome()

    return work


def on_path(make: Callable[[int], str]) -> Work:
    """Return the work on a path of a size."""

    def work(n: int) -> object:
        path = make(n)
        return (
            dialect_for("POST", path),
            path_fault(path),
            may_cost_unmetered("POST", path),
            CallMeter(dialect_for("POST", path), path, b"{}"),
        )

    return work


def named(n: int) -> object:
    """Work with a model's name of a size."""
    return [(family_of(name), encoding_of(name)) for name in ("a." * n, "a/" * n, "claude-4-" * n)]


def chunk(**members: object) -> bytes:
    return b"data: " + orjson.dumps(members) + b"\n\n"


def called(call_id: str, arguments: str) -> bytes:
    call = {"index": 0, "id": call_id, "function": {"name": "f", "arguments": arguments}}
    return chunk(choices=[{"index": 0, "delta": {"tool_calls": [call]}}])


WORK: dict[str, tuple[Work, int]] = {
    "model": (sent(lambda n: b'{"model":"%s"}' % (b"sk-a." * n)), 300_000),
    "served model": (answered(lambda n: chunk(model="sk-a." * n)), 10_000),
    "names of models": (named, 2_000),
    "finish reason": (
        answered(lambda n: chunk(choices=[{"finish_reason": "error-" * n}])),
        10_000,
    ),
    "lists in a request": (sent(lambda n: b'{"a":[' + b"[]," * n + b"0]}"), 200_000),
    "nested lists": (sent(lambda n: b'{"a":' + b"[" * n), 300_000),
    "members of a request": (
        sent(lambda n: b'{"stream":true,"stream":1,"a":"%s"}' % (b'\\"stream\\"' * n)),
        20_000,
    ),
    "members named model": (on_path(lambda n: "/models" + "//models/x" * n + ":y"), 2_000),
    "folders": (on_path(lambda n: "/models/a:b" * n), 2_000),
    "names of a form": (
        lambda n: form_members(
            b"--x\r\n"
            + (b"content-disposition:" + b"; name" * 1_300 + b"\r\n\r\n\r\n--x\r\n") * (n)
        ),
        20,
    ),
    "lines of data": (answered(lambda n: b"data:\n" * n + b"\n"), 10_000),
    "texts in lines": (answered(lambda n: b"data:{x\n" * n + b"\n"), 2_000),
    "blank lines": (answered(lambda n: b"data:x\n\n" + b"\n" * n), 10_000),
    "comments": (answered(lambda n: b":\r" * n), 20_000),
    "names of events": (answered(lambda n: b"event: message_stop\n" * n), 10_000),
    "usage members": (
        answered(lambda n: b"".join(chunk(usage={f"{i:0100}": 1}) for i in range(n))),
        1_000,
    ),
    "fragments of a tool call": (
        answered(lambda n: b"".join(called(str(i), '{"') for i in range(n))),
        1_000,
    ),
    "arguments of a tool call": (answered(lambda n: called("a", '\\"{' * n)), 20_000),
    "null usage": (
        answered(lambda n: b'data: {"a":"' + b', "usage":  ' * n + b'","usage":null}\n\n'),
        50_000,
    ),
    "lists in an array": (answered(lambda n: b"[{" + b"[" * n, JSON, GEMINI), 10_000),
    "objects in an array": (answered(lambda n: b"[" + b"{}," * n, JSON, GEMINI), 5_000),
    "quotes in an array": (answered(lambda n: b'[{"' + b'\\"' * n, JSON, GEMINI), 50_000),
    "lines of JSON": (answered(lambda n: b'{"a":1}\n' * n, JSON), 5_000),
    "lines of an error": (
        lambda n: refuses_usage(b"extra fields are not permitted" + b"\n" * n),
        50_000,
    ),
    "objections": (lambda n: refuses_usage(b"unknown param loc='" * n), 2_000),
}


@pytest.mark.parametrize("field", WORK)
def test_work_grows_as_the_text_does(field: str) -> None:
    """Ten times the text takes less than 25 times the processor time, measured against noise."""
    work, n = WORK[field]
    ratio = 0.0
    # A loaded machine makes a single measurement worse, never better.
    for _ in range(4):
        ratio = spent(work, 10 * n) / min(spent(work, n), spent(work, n))
        if ratio < MOST:
            return
    pytest.fail(f"10 times the {field} took {ratio:.0f} times the work, four times over")


def spent(work: Work, n: int) -> float:
    """Return the processor time of some work in seconds."""
    start = time.thread_time()
    work(n)
    return time.thread_time() - start


def test_an_error_that_is_nested_deeply_refuses_nothing() -> None:
    """What cannot be read through is no refusal of usage."""
    assert not refuses_usage(b'{"error":' * 990 + b"1" + b"}" * 990)
