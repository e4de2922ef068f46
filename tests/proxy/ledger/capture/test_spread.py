"""A secret that a stream spreads over its events goes, and all else stays, whatever the stream is."""

import orjson
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
    clean = without_spread_secrets(stream([text[a:b] for a, b in bounds]), REDACTOR)
    assert said(clean) == f"{before}[redacted]{after}"


@given(st.binary(max_size=200) | st.text().map(lambda text: stream([text, "Canary", text])))
def test_all_else_stays(data: bytes) -> None:
    assert without_spread_secrets(data, REDACTOR) == data
