"""The request hash, against published vectors and a second implementation."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.proxy.meter.request.canonical import canonical_json, request_hash

FIXTURE = Path(__file__).parents[3] / "fixtures" / "request-hash.json"
DOCS = Path(__file__).parents[4] / "docs" / "request-hash.md"
VECTORS: list[dict[str, Any]] = json.loads(FIXTURE.read_text())["vectors"]


class Number(str):
    """A number as it was written."""

    __slots__ = ()


def written(value: object) -> str:
    """Write a value in canonical form: the same rules, another hand, and `json` alone."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    if isinstance(value, dict):
        members = sorted(value.items())
        return "{" + ",".join(f"{written(name)}:{written(inner)}" for name, inner in members) + "}"
    return json.dumps(value, ensure_ascii=False)


def depth_of(value: object) -> int:
    inner = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    )
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


def refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("repeated")
    return dict(pairs)


def second_opinion(body: bytes) -> bytes | None:
    marks = sum(byte in b"[{," for byte in body) if len(body) < 1 << 20 else 0
    if len(body) > 8 << 20 or marks > 1 << 18:
        return None
    try:
        value = json.loads(
            body.decode(),
            parse_float=Number,
            parse_int=Number,
            parse_constant=refuse,
            object_pairs_hook=unique,
        )
        return None if depth_of(value) > 254 else written(value).encode()
    except ValueError:
        return None


def body_of(vector: dict[str, Any]) -> bytes:
    if "repeat" in vector:
        head, text, count, tail = vector["repeat"]
        return str(head + text * count + tail).encode()
    return bytes.fromhex(vector["body_hex"]) if "body_hex" in vector else vector["body"].encode()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_published_vectors_hold(vector: dict[str, Any]) -> None:
    """Each vector's canonical form and hash are what two implementations compute."""
    body, canonical = body_of(vector), vector["canonical"]
    expected = None if canonical is None else canonical.encode()
    assert canonical_json(body) == expected
    assert second_opinion(body) == expected
    digest = hashlib.sha256(body if expected is None else expected).hexdigest()
    assert request_hash(body) == vector["request_hash"]
    assert vector["request_hash"] == ("sha256:" + digest if body else None)


@settings(max_examples=50)
@given(st.data())
def test_layout_and_order_do_not_matter(data: st.DataObject) -> None:
    """Two layouts of one object have one hash, and it is the one of the second implementation."""
    scalars = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.text()
        | st.floats(allow_nan=False, allow_infinity=False)
    )
    value = data.draw(
        st.dictionaries(
            st.text(),
            st.recursive(
                scalars,
                lambda inner: (
                    st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
                ),
                max_leaves=10,
            ),
            max_size=4,
        )
    )
    names = data.draw(st.permutations(list(value)))
    compact = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    spaced = json.dumps({name: value[name] for name in names}, indent=3).encode()
    assert canonical_json(compact) == canonical_json(spaced) == second_opinion(spaced)
    assert canonical_json(canonical_json(spaced) or b"") == canonical_json(spaced)


@given(st.binary(), st.text())
def test_every_body_has_a_hash(noise: bytes, text: str) -> None:
    """Random bytes and texts never raise, and agree with the second implementation."""
    for body in (noise, text.encode("utf-8", "surrogatepass")):
        expected = second_opinion(body)
        assert canonical_json(body) == expected
        digest = hashlib.sha256(body if expected is None else expected).hexdigest()
        assert request_hash(body) == (f"sha256:{digest}" if body else None)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_program_in_the_docs_computes_the_vectors(vector: dict[str, Any]) -> None:
    """What a reader copies from the documentation gives the published hashes."""
    program = DOCS.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(program, names)
    assert names["request_hash"](body_of(vector)) == vector["request_hash"]


def test_the_docs_show_vectors_of_the_fixture() -> None:
    """Every hash in the documentation's table is one of the published ones."""
    shown = set(re.findall(r"sha256:[0-9a-f]{64}", DOCS.read_text(encoding="utf-8")))
    assert shown
    assert shown <= {vector["request_hash"] for vector in VECTORS}
