"""Reads what agents say of their tokens as JSON: a figure that is missing or odd is an error."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from cab.adapters.agents.session_files import read_kept
from cab.adapters.errors import BadSelfReport
from cab.scoring.cells.cell import SelfReport

PRINTED = "tui_stdout"
"""Source of a report that the agent printed."""
KEPT = "tui_session"
"""Source of a report from files that the agent keeps of its sessions."""

Object = dict[str, Any]


class ReportedTokens(NamedTuple):
    """Tokens as they are counted here, whatever the agent's own convention."""

    prompt: int
    """Tokens sent, those from a cache among them."""
    completion: int
    """Tokens received, those of reasoning among them."""

    def report(self, *, source: str = PRINTED, exact: bool = True) -> SelfReport:
        """Return the report that these figures make."""
        return SelfReport(
            prompt_tokens=self.prompt,
            completion_tokens=self.completion,
            total_tokens=self.prompt + self.completion,
            source=source,
            exact=exact,
        )


def add_up(parts: list[ReportedTokens]) -> ReportedTokens:
    """Return the sum of some counts; of none it is 0 and 0.

    >>> add_up([Tokens(3, 1), Tokens(4, 0)])
    Tokens(prompt=7, completion=1)
    """
    return ReportedTokens(
        sum(part.prompt for part in parts), sum(part.completion for part in parts)
    )


def json_lines(text: str, agent: str) -> Iterator[Object]:
    """Yield the JSON objects of a text that has one on each line; other lines are passed over.

    Args:
        text: What the agent printed or kept.
        agent: Its name, for the error.

    Raises:
        BadSelfReport: A line begins as an object and is none, as where the output was cut.
    """
    # Only line feeds end a line of JSON: the other ends of lines may stand inside its strings.
    for line in text.split("\n"):
        if line.startswith("{"):
            yield _parsed(line, agent)


def kept_lines(home: Path, pattern: str, agent: str) -> Iterator[Object]:
    """Yield the JSON objects of files that have one on each line, file after file.

    Args:
        home: HOME of the run.
        pattern: Glob of the files below it; none need be there.
        agent: Its name, for the error.

    Raises:
        BadSelfReport: A file cannot be read, or see `json_lines`.
    """
    for path in sorted(home.glob(pattern)):
        yield from json_lines(read_kept(path, agent).decode(errors="replace"), agent)


def count(data: Object, key: str, agent: str, *, default: int | None = None) -> int:
    """Return a member that counts tokens.

    Args:
        data: Where it stands.
        key: Its name.
        agent: For the error.
        default: What its absence means, where the agent leaves it out on purpose.

    Raises:
        BadSelfReport: It is absent, or no whole number of 0 or more.
    """
    value = data.get(key, default)
    # bool is a kind of int in Python, not in JSON.
    if type(value) is not int or value < 0:
        raise BadSelfReport(f"{agent}'s token report has {key}: {value!r}, which is no count")
    return value


def member(data: Object, key: str, agent: str) -> Object:
    """Return a member that is an object.

    Raises:
        BadSelfReport: It is absent, or none.
    """
    value: object = data.get(key)
    if not isinstance(value, dict):
        raise BadSelfReport(f"{agent}'s token report has no object {key}")
    return value  # pyright: ignore[reportUnknownVariableType]  # the names of JSON are strings


def _parsed(line: str, agent: str) -> Object:
    try:
        data: Object = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadSelfReport(f"{agent}'s output has a line of broken JSON: {error}") from error
    return data
