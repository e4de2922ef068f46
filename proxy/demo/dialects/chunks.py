"""What the answers of all dialects are made of: ids, a date, events, and texts cut in pieces."""

import hashlib
from collections.abc import Iterator
from typing import Any

import orjson

Members = dict[str, Any]
"""Of a JSON object."""

CREATED = 1767225600
"""Date of every answer, 2026-01-01: a clock would make the same request answer differently."""
PIECE_CHARS = 160
"""Longest piece of text in one event; pieces end at line ends where they can."""

_FENCE = "```"


def answer_id(body: bytes, repetition: int, prefix: str = "chatcmpl-") -> str:
    """Return the id of the answer to the n-th request with this body."""
    return f"{prefix}{hashlib.sha256(body + b'#%d' % repetition).hexdigest()[:24]}"


def call_id(answer: str, number: int, prefix: str = "call_") -> str:
    """Return the id of one of an answer's tool calls."""
    return f"{prefix}{hashlib.sha256(f'{answer}/{number}'.encode()).hexdigest()[:24]}"


def event(data: object, kind: str | None = None) -> bytes:
    """Return a server-sent event."""
    name = "" if kind is None else f"event: {kind}\n"
    return b"%sdata: %s\n\n" % (name.encode(), orjson.dumps(data))


def pieces_of(text: str) -> Iterator[str]:
    """Yield a text line by line; a code fence, its language and the line's end apart, as models do.

    Some agents misread a language that comes in two pieces, others a fence that comes with it.
    """
    for line in text.splitlines(keepends=True):
        for part in _parts(line):
            yield from (part[at : at + PIECE_CHARS] for at in range(0, len(part), PIECE_CHARS))


def _parts(line: str) -> Iterator[str]:
    if not line.startswith(_FENCE):
        return iter([line])
    language = line.removeprefix(_FENCE).rstrip()
    end = line.removeprefix(_FENCE + language)
    return filter(None, (_FENCE, language, end))
