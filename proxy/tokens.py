"""Counts tokens where an endpoint reports none, with the bundled encodings and no network.

What a text costs is what tiktoken says. What stands around the texts of a chat is not published in
full; these are the rules used here, and `usage_source: tokenizer` marks every figure made by them:

- a prompt costs 3 tokens for the start of the answer, and each message 3 for its frame;
- a message costs its role, its name (and 1 more), its text, its refusal and its reasoning;
- a content part costs its text; a part without text (an image, a sound, a file) costs nothing here,
  and `uncounted_parts` says how many there were;
- a tool call costs its function's name, its arguments as they stand, and 3 for its frame;
- a message that answers a tool call costs the id of that call;
- a tool definition costs its compact JSON, in the order of its members;
- an answer costs its text, refusal and reasoning, and its tool calls as above; it has no frame.

A value of the wrong type costs its compact JSON: counting never fails on what a client sent.
"""

import base64
import functools
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple, TypeGuard

import orjson
import tiktoken

from cab.proxy.errors import BadConfig

DEFAULT_ENCODING = "o200k_base"
"""Used for models of which nothing better is known."""

LONG_RUN = 1000
"""Characters after which an unbroken run is cut.

tiktoken before 0.12 takes time in the square of such a run. A cut may split a token, so the count
of a run can differ by about one for each 1000 characters; texts without such runs are exact.
"""

MESSAGE_FRAME = 3
"""Tokens around a message or a tool call."""
ANSWER_FRAME = 3
"""Tokens that open the answer, counted with the prompt."""

# tiktoken's pieces are digits by the three, white space, or neither; only the last two can be long.
# The look-behind keeps the search linear: a match starts at the head of its run only.
_LONG_RUNS = re.compile(rf"((?<![^\s\d])[^\s\d]{{{LONG_RUN},}}|(?<!\s)\s{{{LONG_RUN},}})")


class _Recipe(NamedTuple):
    """What tiktoken needs besides the ranks; facts of the published encodings."""

    sha256: str
    pattern: str
    special_tokens: dict[str, int]


_RECIPES = {
    "o200k_base": _Recipe(
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        {"<|endoftext|>": 199999, "<|endofprompt|>": 200018},
    ),
    "cl100k_base": _Recipe(
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

ENCODINGS = tuple(_RECIPES)
"""Names of the encodings that ship with the package."""


def load_encoding(name: str = DEFAULT_ENCODING) -> tiktoken.Encoding:
    """Return the encoding of that name; the first call reads it from the package (about 0.3 s).

    Raises:
        BadConfig: There is no such encoding, or its file in the package is damaged.
    """
    if name not in _RECIPES:
        raise BadConfig(f"encoding {name!r} is unknown; known encodings: {', '.join(ENCODINGS)}")
    return _load(name)


def count_text(text: str, encoding: str = DEFAULT_ENCODING) -> int:
    """Return the tokens of a text; what looks like a special token is plain text."""
    encode = load_encoding(encoding).encode_ordinary
    return sum(len(encode(piece)) for piece in _pieces(text))


def count_chat_prompt(
    messages: Sequence[Any],
    tools: Sequence[Any] | None = None,
    encoding: str = DEFAULT_ENCODING,
) -> int:
    """Return the tokens of a chat prompt by the rules above.

    Args:
        messages: As the client sent them.
        tools: The request's tool definitions, if any.
        encoding: One of `ENCODINGS`.
    """
    texts = [text for message in messages for text in _message_texts(message)]
    texts += [_compact(tool) for tool in tools or ()]
    frames = sum(_frames(message) for message in messages)
    return ANSWER_FRAME + frames + sum(count_text(text, encoding) for text in texts)


def count_chat_completion(message: Mapping[str, Any], encoding: str = DEFAULT_ENCODING) -> int:
    """Return the tokens of an answer's message by the rules above."""
    texts = [*_spoken(message), *_call_texts(message)]
    frames = MESSAGE_FRAME * len(_list(message.get("tool_calls")))
    return frames + sum(count_text(text, encoding) for text in texts)


def uncounted_parts(messages: Sequence[Any]) -> int:
    """Return how many content parts hold no text, so that a count of these messages is partial."""
    return sum(_part_text(part) is None for message in messages for part in _parts(message))


@functools.cache
def _load(name: str) -> tiktoken.Encoding:
    recipe = _RECIPES[name]
    data = resources.files("cab.proxy").joinpath("encodings", f"{name}.tiktoken").read_bytes()
    _check(name, data, recipe.sha256)
    return tiktoken.Encoding(
        name=name,
        pat_str=recipe.pattern,
        mergeable_ranks=_ranks(data),
        special_tokens=recipe.special_tokens,
    )


def _check(name: str, data: bytes, sha256: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise BadConfig(
            f"encodings/{name}.tiktoken in the package is damaged (sha256 {found}, "
            f"expected {sha256}); reinstall coding-agent-bench"
        )


def _ranks(data: bytes) -> dict[bytes, int]:
    pairs = (line.split() for line in data.splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


def _pieces(text: str) -> Iterator[str]:
    """Yield the text in pieces whose cost is bounded; nearly always it is one."""
    for number, part in enumerate(_LONG_RUNS.split(text)):
        if number % 2 == 0:
            yield part
        else:
            yield from (part[at : at + LONG_RUN] for at in range(0, len(part), LONG_RUN))


def _message_texts(message: object) -> Iterator[str]:
    fields = _object(message)
    if fields is None:
        yield _compact(message)
        return
    yield from _strings(fields.get("role"), fields.get("name"), fields.get("tool_call_id"))
    yield from _spoken(fields)
    yield from _call_texts(fields)


def _spoken(message: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a message says, in whatever form."""
    texts = (_part_text(part) for part in _parts(message))
    yield from (text for text in texts if text is not None)
    # Endpoints call their reasoning by either name; some send the same text under both.
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    yield from _strings(message.get("refusal"), reasoning)


def _parts(message: object) -> list[Any]:
    content = (_object(message) or {}).get("content")
    if content is None:
        return []
    return content if _is_list(content) else [content]


def _part_text(part: object) -> str | None:
    if isinstance(part, str):
        return part
    fields = _object(part)
    if fields is None:
        return _compact(part)
    texts = (fields.get(key) for key in ("text", "refusal"))
    return next((text for text in texts if isinstance(text, str)), None)


def _call_texts(message: Mapping[str, Any]) -> Iterator[str]:
    for call in _list(message.get("tool_calls")):
        function = _object((_object(call) or {}).get("function"))
        if function is None:
            yield _compact(call)
        else:
            yield from _strings(function.get("name"), function.get("arguments"))


def _frames(message: object) -> int:
    fields = _object(message) or {}
    named = 1 if fields.get("name") else 0
    return MESSAGE_FRAME * (1 + len(_list(fields.get("tool_calls")))) + named


def _object(value: object) -> dict[str, Any] | None:
    return value if _is_object(value) else None


def _list(value: object) -> list[Any]:
    return value if _is_list(value) else []


# JSON's own guarantees, said to the type checkers: an object's names are strings.
def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _strings(*values: object) -> Iterator[str]:
    for value in values:
        if value is not None:
            yield value if isinstance(value, str) else _compact(value)


def _compact(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except (TypeError, ValueError):  # integers beyond 64 bits, lone surrogates
        return str(value)
