"""Reads what agents report of their tokens as JSON: a count that is missing or odd is an error."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Self, cast

import orjson

from cab.adapters.errors import BadSelfReport
from cab.scoring.cells.cell import SelfReport

PRINTED = "tui_stdout"
"""Source of a report that the agent printed."""
SESSION = "tui_session"
"""Source of a report from the agent's session files."""

Object = dict[str, Any]


class ReportedTokens(NamedTuple):
    """Token counts in our convention, whatever the agent's own."""

    prompt: int
    """Tokens sent, including those read from or written to a cache."""
    completion: int
    """Tokens received, including those of reasoning."""

    def nonzero(self, agent: str) -> Self:
        """Return the counts, for an agent that writes 0 where the endpoint gave no count.

        Raises:
            BadSelfReport: The prompt has 0 tokens.
        """
        if self.prompt == 0:
            raise BadSelfReport(f"{agent} counts 0 tokens, so the endpoint gave no count")
        return self

    def report(self, *, source: str = PRINTED, exact: bool = True) -> SelfReport:
        """Return the counts as a report."""
        return SelfReport(
            prompt_tokens=self.prompt,
            completion_tokens=self.completion,
            total_tokens=self.prompt + self.completion,
            source=source,
            exact=exact,
        )


def add_up(parts: Iterable[ReportedTokens]) -> ReportedTokens:
    """Return the sum of some counts; the sum of none is 0 and 0.

    >>> add_up([ReportedTokens(3, 1), ReportedTokens(4, 0)])
    ReportedTokens(prompt=7, completion=1)
    """
    parts = list(parts)
    return ReportedTokens(
        sum(part.prompt for part in parts), sum(part.completion for part in parts)
    )


def read_tokens(
    usage: Object, agent: str, prompt: Iterable[str], completion: Iterable[str]
) -> ReportedTokens:
    """Return the sums of the members that count the prompt and the completion.

    Raises:
        BadSelfReport: One of them is not a count.
    """
    return ReportedTokens(
        sum(count(usage, key, agent) for key in prompt),
        sum(count(usage, key, agent) for key in completion),
    )


def json_lines(text: str, agent: str) -> Iterator[Object]:
    """Yield the JSON objects of a text that has one per line; other lines are ignored.

    Args:
        text: What the agent printed or stored.
        agent: Its name, for the error.

    Raises:
        BadSelfReport: A line starts like an object and is not one, as where the output was cut.
    """
    # Only line feeds end a line of JSON: other line separators may be inside its strings.
    for line in text.split("\n"):
        if line.startswith("{"):
            try:
                data: Object = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise BadSelfReport(
                    f"{agent}'s output has a line of broken JSON: {error}"
                ) from error
            yield data


def count(data: Object, key: str, agent: str, *, default: int | None = None) -> int:
    """Return a member that counts tokens.

    Args:
        data: The object.
        key: The member's name.
        agent: The agent's name, for the error.
        default: The count if it is absent, for an agent that leaves it out on purpose.

    Raises:
        BadSelfReport: It is absent, or not a whole number of 0 or more.
    """
    value = data.get(key, default)
    # bool is a kind of int in Python, not in JSON.
    if type(value) is not int or value < 0:
        raise BadSelfReport(f"{agent}'s token report has {key}: {value!r}, which is not a count")
    return value


def member(data: Object, key: str, agent: str) -> Object:
    """Return a member that is an object.

    Raises:
        BadSelfReport: It is absent, or not an object.
    """
    value: object = data.get(key)
    if not isinstance(value, dict):
        raise BadSelfReport(f"{agent}'s token report has no object {key}")
    return value  # pyright: ignore[reportUnknownVariableType]  # the names of JSON are strings


def objects_of(data: Object, key: str, agent: str) -> list[Object]:
    """Return a member that is a list of objects.

    Raises:
        BadSelfReport: It is absent, or not such a list.
    """
    value: object = data.get(key)
    if not isinstance(value, list):
        raise BadSelfReport(f"{agent}'s token report has no list {key}")
    return [as_object(each, key, agent) for each in cast("list[object]", value)]


def as_object(data: object, what: str, agent: str) -> Object:
    """Return parsed JSON as an object.

    Raises:
        BadSelfReport: It is not one.
    """
    if not isinstance(data, dict):
        raise BadSelfReport(f"{agent}'s {what} is not a JSON object")
    return data  # pyright: ignore[reportUnknownVariableType]  # the names of JSON are strings
