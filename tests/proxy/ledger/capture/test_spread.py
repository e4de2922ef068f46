"""A secret that a stream spreads over its events goes, and all else stays, whatever the stream is."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.proxy.ledger.capture.spread import without_spread_secrets
from cab.proxy.redaction import Redactor

SECRET = 'Canary"of\\an agent/0123'
REDACTOR = Redactor([SECRET])


def stream(texts: list[str]) -> bytes:
    return b"".join(b"data: " + orjson.dumps({"n": 1, "delta": text}) + b"\n\n" for text in texts)


def said(data: bytes) -> str:
    events = [line[6:] for line in data.split(b"\n\n") if line]
    return "".join(orjson.loads(event)["delta"] for event in events)


@settings(max_examples=40)
@given(st.text(max_size=9), st.text(max_size=9), st.data())
def test_it_is_found_however_it_is_cut(before: str, after: str, data: st.DataObject) -> None:
    text = before + SECRET + after
    at = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=9)))
    bounds = zip([0, *at], [*at, len(text)], strict=True)
    whole = REDACTOR(stream([text[a:b] for a, b in bounds]))
    clean = without_spread_secrets(whole, REDACTOR)
    assert said(clean) == f"{before}[redacted]{after}"


@pytest.mark.parametrize(
    "body",
    [
        [{"parts": [{"text": "Canary.of"}]}, {"parts": [{"text": "-an-agent/0123"}]}],
        {"content": [{"text": "x Canary.of"}, {"type": "y"}, {"text": "-an-agent/0123"}]},
        {"tokens": ["Can", "ary.of", "-an-", "agent", "/0123", " "], "offsets": [1, 2]},
    ],
    ids=["chunks in a list", "parts of a message", "tokens"],
)
def test_it_is_found_in_any_json(body: object) -> None:
    """A stream may be a list of chunks; a message is one of parts, and a key is several tokens."""
    redactor = Redactor(["Canary.of-an-agent/0123"])
    for text in (orjson.dumps(body), orjson.dumps(body, option=orjson.OPT_INDENT_2)):
        clean = without_spread_secrets(b'"torn\n' + text, redactor)
        assert b"[redacted]" in clean
        assert b"agent" not in clean
        orjson.loads(clean.removeprefix(b'"torn\n'))


@given(st.binary(max_size=200) | st.text().map(lambda text: stream([text, "Canary", text])))
def test_all_else_stays(data: bytes) -> None:
    assert without_spread_secrets(data, REDACTOR) == data
