"""What a model is given to read, whatever the dialect, and what that costs in its family."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from cab.proxy.meter.json_values import JsonObject, as_list, dump_text, is_object
from cab.proxy.tokens.encodings import TokenCost
from cab.proxy.tokens.model_families import Family
from cab.proxy.tokens.tool_signatures import namespace
from cab.scoring.ledger.records import Endpoint

_INSTRUCTIONS = ("system", "developer")
_HEADING = "# Tools\n\n## functions\n\n"
MEDIA: frozenset[Endpoint] = frozenset(
    {
        *("audio.transcriptions", "audio.translations", "audio.speech"),
        *("images.generations", "images.edits", "images.variations"),
    }
)
"""Endpoints whose tokens are those of sounds and images, which nobody but the endpoint can count."""
_UNFRAMED: set[Endpoint] = {"completions", "fim.completions", "embeddings", "rerank", *MEDIA}
"""Dialects in which no chat template stands around the texts."""

Uncounted = Literal["media", "reasoning", "tools", "state"]
"""What has no text here: an image, a sound, a file; hidden reasoning; a tool that the endpoint defines
or runs; what the endpoint keeps from earlier calls."""


@dataclass
class Turn:
    """One message, or one tool's result."""

    role: str = ""
    texts: list[str] = field(default_factory=list[str])
    calls: list[list[str]] = field(default_factory=list[list[str]])
    """Name and arguments of each tool call."""
    result_of: str | None = None
    """Name of the tool whose result this is, empty if it is not known."""


@dataclass
class Prompt:
    """A prompt, read from a request."""

    endpoint: Endpoint
    turns: list[Turn] = field(default_factory=list[Turn])
    tools: list[object] = field(default_factory=list[object])
    schema: JsonObject = field(default_factory=dict[str, object])
    """Schema of a structured answer, empty if none is asked for."""
    thinks: bool = False
    """Whether the request switches thinking on."""
    tokens: int = 0
    """Tokens that the client sent as such."""
    uncounted: list[Uncounted] = field(default_factory=list[Uncounted])
    """What is read and cannot be counted from here, one entry for each such part."""

    def costs(self, family: Family) -> Iterator[TokenCost]:
        """Yield what the prompt costs in a family."""
        yield self.tokens
        if self.endpoint in _UNFRAMED:
            yield from (text for turn in self.turns for text in turn.texts)
            return
        yield family.start + family.answer
        for turn in self.turns:
            yield family.message + _around(len(turn.calls), family.call, family)
            yield from turn.texts
            yield from (text for call in turn.calls for text in call)
            if turn.result_of is not None:
                yield family.result
                yield turn.result_of
        yield from self._tools(family)
        yield family.thinking if self.thinks else 0
        if self.schema and family.schema is not None:
            yield family.schema
            yield compact(_without_additional(self.schema))

    def _tools(self, family: Family) -> Iterator[TokenCost]:
        if not self.tools:
            return
        yield family.tools
        if self.endpoint == "chat.completions":
            yield family.chat_tools
        if not family.signatures:
            yield from map(compact, self.tools)
            return
        # The namespace is at the end of the instructions, or in a message of its own.
        if not any(turn.role in _INSTRUCTIONS for turn in self.turns):
            yield family.message
        yield _HEADING + namespace(self.tools)


def answer_costs(
    endpoint: Endpoint, texts: list[str], calls: int, family: Family, *, complete: bool
) -> Iterator[TokenCost]:
    """Yield what an answer costs in a family.

    Args:
        endpoint: The dialect.
        texts: Its texts, with the names and arguments of its tool calls.
        calls: How many tool calls it holds.
        family: Of the model that wrote it.
        complete: Whether it came to its end.
    """
    yield from texts
    yield _around(calls, family.answer_call, family)
    if complete and endpoint not in _UNFRAMED:
        yield family.answer_end + (family.response_end if endpoint == "responses" else 0)


def compact(value: object) -> str:
    """Return a JSON value as text; one that cannot be written as such, like a huge number, as Python writes it."""
    return dump_text(value) or str(value)


def _without_additional(value: object) -> object:
    """Return a schema without the members that only forbid other members."""
    if is_object(value):
        kept = {name: inner for name, inner in value.items() if name != "additionalProperties"}
        return {name: _without_additional(inner) for name, inner in kept.items()}
    return [_without_additional(inner) for inner in as_list(value)] or value


def _around(calls: int, each: int, family: Family) -> int:
    """Return what stands around the calls of one message."""
    return calls * each + (family.several_calls if calls > 1 else 0)
