"""Drives a call meter as the server does, over any slicing of an answer."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypedDict, Unpack

from hypothesis import strategies as st

from cab.proxy.meter import CallMeter, Outcome, dialect_for

CHAT = "/v1/chat/completions"
ASKING = b'{"model":"m","stream":true,"messages":[]}'
SSE = "text/event-stream; charset=utf-8"
JSON = "application/json"
CHUNK = b'{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}'
USAGE = b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}'
DONE = b"data: [DONE]\n\n"


class Options(TypedDict, total=False):
    """Settings of a meter."""

    inject_usage: bool
    hold_terminal: bool
    capture_limit_bytes: int
    text_limit_chars: int


@dataclass(frozen=True)
class Driven:
    """What came of an answer."""

    early: bytes
    """What left before the client could know that its answer is complete."""
    late: bytes
    """What was kept inside until then, and what came after."""
    terminals: int
    """How often the meter said that the terminal bytes have come."""
    outcome: Outcome

    @property
    def sent(self) -> bytes:
        return self.early + self.late


def meter_for(path: str = CHAT, body: bytes = ASKING, **options: Unpack[Options]) -> CallMeter:
    return CallMeter(dialect_for("POST", path), path, body, **options)


def started(
    path: str = CHAT,
    body: bytes = ASKING,
    *,
    status: int = 200,
    content_type: str = SSE,
    encoding: str = "",
    length: int | None = None,
    **options: Unpack[Options],
) -> CallMeter:
    meter = meter_for(path, body, **options)
    meter.start(status, content_type, encoding, length)
    return meter


def drive(meter: CallMeter, chunks: Iterable[bytes]) -> Driven:
    """Feed the chunks, all at the instant 7, and then the clean end, at the instant 9."""
    early, late, terminals = b"", b"", 0
    for chunk in chunks:
        data, terminal = meter.feed(chunk, 7)
        early, late = (early, late + data) if terminals else (early + data, late)
        if terminal:
            terminals += 1
            late += meter.release()
    data, terminal = meter.finish(9)
    early, late = (early, late + data) if terminals else (early + data, late)
    late += meter.release()
    return Driven(early, late, terminals + terminal, meter.outcome())


def bytewise(data: bytes) -> list[bytes]:
    return [data[index : index + 1] for index in range(len(data))]


def sliced(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def slicings(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """Give the data in any slicing, empty slices included."""
    cuts = st.lists(st.integers(0, len(data)), max_size=12)
    return cuts.map(lambda places: sliced(data, places))


def event(data: bytes, name: bytes = b"") -> bytes:
    return (b"event: " + name + b"\n" if name else b"") + b"data: " + data + b"\n\n"


def events(*data: bytes) -> bytes:
    return b"".join(map(event, data))


def outcome_of(path: str, answer: Sequence[bytes] | bytes, content_type: str = SSE) -> Outcome:
    chunks = [answer] if isinstance(answer, bytes) else answer
    return drive(started(path, content_type=content_type), chunks).outcome
