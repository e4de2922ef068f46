"""What families of models put around the texts they read and write, and how their texts are encoded.

None of this is published in full. The numbers are medians over recorded calls with the endpoint's
usage; `docs/token-counting.md` has the calls, the error that is left, and how to measure again.
"""

import fnmatch
import re
from dataclasses import dataclass, replace

from cab.proxy.tokens.encodings import DEFAULT_ENCODING

_CL100K = (
    "gpt-4",
    "gpt-4-*",
    "gpt-3.5*",
    "gpt-35*",
    "text-embedding-*",
    "davinci-002",
    "babbage-002",
)

# `vendor/model`, and the vendors before a dot on Bedrock (`us.anthropic.claude-...`).
_VENDOR = re.compile(r"^.*/|^(?:[a-z-]+\.)+(?=[a-z])")


@dataclass(frozen=True)
class Family:
    """Models with the same frames, in tokens."""

    models: tuple[str, ...]
    """Patterns of their names, without the vendor's."""
    start: int = 0
    """Of every prompt: what the model reads before the first message."""
    message: int = 4
    """Around a message, its role included."""
    answer: int = 3
    """What opens the answer, at the prompt's end."""
    tools: int = 0
    """Once, where there are tools: the words that explain how to call them."""
    chat_tools: int = 0
    """More of them, in chat completions only."""
    signatures: bool = False
    """Whether tools are read as TypeScript signatures; as compact JSON otherwise."""
    schema: int | None = None
    """Around the schema of a structured answer; `None` where it is not part of the prompt."""
    thinking: int = 0
    """Once, where the request switches thinking on."""
    call: int = 0
    """Around a tool call in the prompt, besides its message, name and arguments."""
    result: int = 0
    """Around a tool's result in the prompt, besides its message and the tool's name."""
    answer_end: int = 0
    """At the end of an answer."""
    response_end: int = 0
    """More of them, in responses only."""
    answer_call: int = 0
    """Around a tool call in an answer, besides its name and arguments."""
    several_calls: int = 0
    """More, around several calls in one message or answer."""


_OPENAI = Family(
    (), tools=-1, signatures=True, schema=8, response_end=1, answer_call=7, several_calls=14
)
_THINKING = replace(_OPENAI, start=-1, schema=0, call=10, result=5, answer_end=3)
_CLAUDE = Family(
    (), tools=510, schema=150, thinking=29, call=45, result=15, answer_end=3, answer_call=43
)

FAMILIES = {
    "gpt-oss": replace(
        _OPENAI, models=("gpt-oss*",), start=60, tools=16, call=10, result=5, answer_end=10
    ),
    "gpt-5": replace(_THINKING, models=("gpt-5*",), chat_tools=80),
    "o": replace(_THINKING, models=("o1*", "o3*", "o4*")),
    "gpt": replace(_OPENAI, models=("gpt-*", "chatgpt-*"), call=4, result=1),
    "claude 3 and 4.0": replace(
        _CLAUDE,
        models=("claude-2*", "claude-3*", "claude-*-4", "claude-*-4-2*", "claude-*-4-1*"),
        tools=330,
    ),
    "claude": replace(_CLAUDE, models=("claude*",)),
    "gemini": Family(("gemini*",), message=0, answer=0, answer_call=-7),
    "mistral": Family(
        ("*mistral*", "ministral*", "magistral*", "codestral*", "devstral*", "*xtral*"),
        tools=16,
        call=5,
        result=5,
        answer_call=4,
    ),
    "other": Family(("*",), tools=100, call=15, result=10, answer_call=15),
}
"""Families by name; the first with a pattern that fits a model's name is the model's."""

OTHER = FAMILIES["other"]


def family_of(model: str) -> Family:
    """Return the family of a model."""
    return FAMILIES[name_of(model)]


def name_of(model: str) -> str:
    """Return the name of a model's family."""
    bare = _VENDOR.sub("", model.lower())
    return next(name for name, family in FAMILIES.items() if _fits(bare, family.models))


def encoding_of(model: str) -> str:
    """Return the name of the bundled encoding of a model's texts; the default where it is not published."""
    return "cl100k_base" if _fits(_VENDOR.sub("", model.lower()), _CL100K) else DEFAULT_ENCODING


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
