"""Serving stacks: what they send, from endpoints.toml, and docs/endpoints.md from how it was read."""

import tomllib
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

FILE = Path(__file__).parents[3] / "docs" / "endpoints.md"
_FACTS = Path(__file__).parent / "endpoints.toml"

_HEAD = """\
# What serving stacks send, and how it is read

Each line is one serving stack: what it sends in a stream, in a whole answer and as an error, and what the END record
says then. The tests send small answers of this kind, written after the sources, through the proxy on real sockets; this
page is written by that test run (`make catalogue`), and what stands under *how it is read* is what the records said:
status, end, finish reason, type of the error, tokens, who counted them, and whether the count covers the whole answer.
The client in these tests asks for a stream and not for usage, so the proxy adds `stream_options` where the dialect
has it.

*Seen since* is the first version or date for which a source shows it. Hosted services change without a version.

| stack | what it sends | how it is read | seen since | source |
|---|---|---|---|---|
"""


class _Fact(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Reading(_Fact):
    """What an END record says of an answer; a count that is `None` there is `None` here."""

    end_reason: str
    finish_reason: str | None = None
    usage_source: str
    usage_status: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: str | None = None
    error: str | None = None
    """Its type."""
    upstream_attempts: int = 1

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Reading":
        """Return what a record says."""
        values = {name: row[name] for name in cls.model_fields}
        return cls(**{**values, "error": row["error"] and row["error"]["type"]})

    def text(self) -> str:
        """Return it as a reader wants it: the end, the counts, who counted."""
        end = [f"`{name}`" for name in (self.end_reason, self.finish_reason, self.error) if name]
        caches = {"from the cache": self.cache_read_tokens, "into it": self.cache_write_tokens}
        counts = [
            f"prompt {_shown(self.prompt_tokens)}{_parts(caches)}",
            f"completion {_shown(self.completion_tokens)}"
            + _parts({"reasoning": self.reasoning_tokens}),
        ]
        usage = [f"usage `{self.usage_source}`"]
        usage += [f"`{self.usage_status}`"] if self.usage_status else []
        usage += [f"{self.cost_usd} US dollars"] if self.cost_usd else []
        usage += [f"{self.upstream_attempts} requests"] if self.upstream_attempts > 1 else []
        return "; ".join(", ".join(group) for group in (end, counts, usage))


class ServedAnswer(_Fact):
    """One answer of a stack."""

    kind: Literal["stream", "whole", "error", "error in a stream"]
    when: str = ""
    """Which version, model or mode sends it, if not every one does."""
    sends: str
    path: str = "/v1/chat/completions"
    status: int = 200
    wire: str
    refusal: str = ""
    """The body for a request that holds `stream_options`."""
    refusal_status: int = 400
    read: Reading

    @property
    def streamed(self) -> bool:
        return self.kind.endswith("stream")

    @property
    def label(self) -> str:
        return f"{self.kind} ({self.when})" if self.when else self.kind

    @property
    def status_line(self) -> str:
        return _status_line(self.status)

    @property
    def refusal_line(self) -> str:
        return _status_line(self.refusal_status)


class SourceLink(_Fact):
    """A public document."""

    name: str
    url: str = Field(pattern=r"^https://")


class ServingStack(_Fact):
    """One stack."""

    name: str
    seen: str
    stream_options: str
    source: tuple[SourceLink, ...] = Field(min_length=1)
    answer: tuple[ServedAnswer, ...] = Field(min_length=1)


STACKS = TypeAdapter(tuple[ServingStack, ...]).validate_python(
    tomllib.loads(_FACTS.read_text())["stack"]
)
Key = tuple[str, str]
"""Name of the stack, label of the answer."""


def page(readings: Mapping[Key, Reading]) -> str:
    """Return the page for what was read."""
    lines = [_line(stack, readings) for stack in STACKS]
    count = f"{len(readings)} answers of {len(STACKS)} stacks.\n"
    return _HEAD + "\n".join(lines) + f"\n\n{count}"


def _line(stack: ServingStack, readings: Mapping[Key, Reading]) -> str:
    sends = [f"`stream_options`: {stack.stream_options}"]
    sends += [f"**{answer.label}**: {answer.sends}" for answer in stack.answer]
    read = [
        f"**{answer.label}**: {answer.status}, {readings[stack.name, answer.label].text()}"
        for answer in stack.answer
        if (stack.name, answer.label) in readings
    ]
    sources = [f"[{source.name}]({source.url})" for source in stack.source]
    cells = [stack.name, *("<br>".join(part) for part in (sends, read)), stack.seen]
    return f"| {' | '.join([*cells, '<br>'.join(sources)])} |"


def _status_line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"


def _shown(count: int | None) -> str:
    return "null" if count is None else str(count)


def _parts(counts: Mapping[str, int | None]) -> str:
    known = [f"{count} {name}" for name, count in counts.items() if count is not None]
    return f" ({', '.join(known)})" if known else ""
