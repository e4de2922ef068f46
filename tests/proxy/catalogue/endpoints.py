"""Serving stacks: what they send, from endpoints.toml, and docs/endpoints.md from how it was read."""

import re
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

For each serving stack: what it sends in a stream, in a whole answer and as an error, and what the END record says then.
The table shows which stacks need to be asked for usage; below it is a section for each of them, with

- **what it sends**, after the sources that are listed last;
- **how it is read**, set off below it: HTTP status, how the call ended, the finish reason, the type of the error; tokens;
  who counted them (`upstream` the endpoint, `tokenizer` the proxy), and whether the count covers the whole answer.
  [The ledger](ledger.md#records) explains these members. `null` is unknown, and never 0.

*Seen since* is the first version or date for which a source shows it. Hosted services change without a version.

This page is written by a test run (`make catalogue`): small answers of this kind, written after the sources, go through
the proxy on real sockets, and *how it is read* is what the records said. The client in these tests asks for a stream
and not for usage, so the proxy adds `stream_options` where the dialect has it.

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
        named = {"": self.end_reason, "finish ": self.finish_reason, "error ": self.error}
        end = [f"{what}{name}" for what, name in named.items() if name]
        caches = {"from the cache": self.cache_read_tokens, "into it": self.cache_write_tokens}
        counts = [
            f"prompt {_shown(self.prompt_tokens)}{_parts(caches)}",
            f"completion {_shown(self.completion_tokens)}"
            + _parts({"reasoning": self.reasoning_tokens}),
        ]
        usage = [f"usage {self.usage_source}"]
        usage += [self.usage_status] if self.usage_status else []
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
    rows = [f"| {_link(stack)} | {stack.stream_options} | {stack.seen} |" for stack in STACKS]
    table = ["| stack | asked for usage (`stream_options`) | seen since |", "|---|---|---|", *rows]
    sections = [_section(stack, readings) for stack in STACKS]
    count = f"{len(readings)} answers of {len(STACKS)} stacks."
    return _HEAD + "\n\n".join(["\n".join([*table, "", count]), *sections]) + "\n"


def _link(stack: ServingStack) -> str:
    kept = re.sub(r"[^\w -]", "", stack.name.lower())
    return f"[{stack.name}](#{kept.replace(' ', '-')})"


def _section(stack: ServingStack, readings: Mapping[Key, Reading]) -> str:
    answers = [
        _answer(answer, readings[stack.name, answer.label])
        for answer in stack.answer
        if (stack.name, answer.label) in readings
    ]
    sources = ", ".join(f"[{source.name}]({source.url})" for source in stack.source)
    return "\n\n".join([f"## {stack.name}", *answers, f"Sources: {sources}."])


def _answer(answer: ServedAnswer, reading: Reading) -> str:
    title = answer.label[0].upper() + answer.label[1:]
    return f"**{title}.** {_sentence(answer.sends)}\n\n    status {answer.status}, {reading.text()}"


def _sentence(text: str) -> str:
    capital = text if text[0] == "`" else text[0].upper() + text[1:]
    return f"{capital}."


def _status_line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"


def _shown(count: int | None) -> str:
    return "null" if count is None else str(count)


def _parts(counts: Mapping[str, int | None]) -> str:
    known = [f"{count} {name}" for name, count in counts.items() if count is not None]
    return f" ({', '.join(known)})" if known else ""
