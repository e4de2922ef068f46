"""Counts the tokens of texts: with the bundled encodings, or a tokenizer file, and no network."""

import base64
import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from importlib import resources
from typing import NamedTuple

import tiktoken

from cab.proxy.errors import BadConfig
from cab.proxy.tokens.huggingface import load_tokenizer_file

DEFAULT_ENCODING = "o200k_base"
"""Used for models of which nothing better is known."""

WINDOW_CHARS = 32_768
"""Most characters that are handed to a tokenizer at once: 10 to 20 ms of work.

It bounds how long a cancelled count goes on, and how long it can hold Python's lock.
"""

# A text may be cut here without changing its tokens: both encodings begin a new piece after a line's
# end, unless a slash follows (o200k_base takes that with the line end), and before a space between
# two letters.
_SAFE_CUT = re.compile(r"(?s:.)+(?:(?<=\n)(?=[^\s/])|(?<=[A-Za-z])(?= [A-Za-z]))")

TokenCost = str | int
"""A part of what a prompt or an answer costs: a text to be counted, or tokens around the texts."""

CountPiece = Callable[[str], int]
"""Returns the tokens of a text of at most `WINDOW_CHARS`."""


def _never_cancelled() -> None:
    pass


class _Definition(NamedTuple):
    """What tiktoken needs besides the ranks; facts of the published encodings."""

    sha256: str
    pattern: str
    special_tokens: dict[str, int]


_DEFINITIONS = {
    "o200k_base": _Definition(
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        {"<|endoftext|>": 199999, "<|endofprompt|>": 200018},
    ),
    "cl100k_base": _Definition(
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
        r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
        {
            "<|endoftext|>": 100257,
            "<|fim_prefix|>": 100258,
            "<|fim_middle|>": 100259,
            "<|fim_suffix|>": 100260,
            "<|endofprompt|>": 100276,
        },
    ),
}

ENCODINGS = tuple(_DEFINITIONS)
"""Names of the encodings that ship with the package."""


def load_encoding(name: str = DEFAULT_ENCODING) -> tiktoken.Encoding:
    """Return the encoding of that name; the first call reads it from the package (about 0.3 s).

    Raises:
        BadConfig: There is no such encoding, or its file in the package is damaged.
    """
    if name not in _DEFINITIONS:
        raise BadConfig(
            f"encoding {name!r} is unknown; known encodings: {', '.join(ENCODINGS)}, "
            "or the path of a tokenizer.json"
        )
    return _load(name)


@functools.cache
def load_counter(encoding: str = DEFAULT_ENCODING) -> CountPiece:
    """Return what counts with an encoding; the first call reads its file.

    Args:
        encoding: One of `ENCODINGS`, or the path of a Hugging Face `tokenizer.json`.

    Raises:
        BadConfig: There is no such encoding, or its file cannot be used.
    """
    if encoding.endswith(".json"):
        return load_tokenizer_file(encoding)
    encode = load_encoding(encoding).encode_ordinary
    return lambda piece: len(encode(piece))


def count_text(text: str, encoding: str = DEFAULT_ENCODING) -> int:
    """Return the tokens of a text; what looks like a special token is plain text."""
    return count([text], encoding)


def count(
    costs: Iterable[TokenCost],
    encoding: str = DEFAULT_ENCODING,
    check_cancelled: Callable[[], None] = _never_cancelled,
) -> int:
    """Return the sum of costs.

    Args:
        costs: Texts, and tokens around them.
        encoding: One of `ENCODINGS`, or the path of a Hugging Face `tokenizer.json`.
        check_cancelled: Called before each piece of work of some milliseconds; what it raises ends the count.
    """
    count_piece = load_counter(encoding)
    total = 0
    for cost in costs:
        if isinstance(cost, int):
            total += cost
            continue
        for piece in pieces(cost):
            check_cancelled()
            total += count_piece(piece)
    return total


def pieces(text: str) -> Iterator[str]:
    """Yield a text in pieces of at most `WINDOW_CHARS`; nearly always it is one.

    A text is cut where that does not change its tokens. Where there is no such place in a whole
    window (no line end, no space between letters), it is cut at the window's end, which changes the
    count by one or two.
    """
    start = 0
    while len(text) - start > WINDOW_CHARS:
        end = start + WINDOW_CHARS
        safe = _SAFE_CUT.match(text, start, end + 1)
        end = safe.end() if safe else end
        yield text[start:end]
        start = end
    yield text[start:]


@functools.cache
def _load(name: str) -> tiktoken.Encoding:
    definition = _DEFINITIONS[name]
    data = (
        resources.files("cab.proxy.tokens")
        .joinpath("vocabularies", f"{name}.tiktoken")
        .read_bytes()
    )
    _check(name, data, definition.sha256)
    return tiktoken.Encoding(
        name=name,
        pat_str=definition.pattern,
        mergeable_ranks=_ranks(data),
        special_tokens=definition.special_tokens,
    )


def _check(name: str, data: bytes, sha256: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise BadConfig(
            f"vocabularies/{name}.tiktoken in the package is damaged (sha256 {found}, "
            f"expected {sha256}); reinstall coding-agent-bench"
        )


def _ranks(data: bytes) -> dict[bytes, int]:
    pairs = (line.split() for line in data.splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}
