"""Which agents are examined, and in which of their dialects."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cab.adapters.agents.base import AgentFacts
from cab.adapters.agents.registry import ADAPTERS, load_adapter
from cab.adapters.doctor.parent import Subject
from cab.adapters.errors import AdapterError
from cab.adapters.install.install import find_installed, require_installed
from cab.adapters.runs.spec import spoken_dialect


class Selection(NamedTuple):
    """What a command line comes to."""

    subjects: list[Subject]
    """What is examined, in order."""
    missing: list[AgentFacts]
    """Agents that would be, but are not installed."""


def chosen(
    names: Sequence[str], dialect: str | None, *, every_agent: bool, every_dialect: bool
) -> Selection:
    """Return what is to be examined.

    Args:
        names: Agents.
        dialect: The one to examine them in; None is the first that each speaks.
        every_agent: Take all that are known and installed; then there are no names.
        every_dialect: Examine each agent in all that it speaks.

    Raises:
        AdapterError: An agent is unknown or not installed, or does not speak the dialect.
    """
    if bool(names) == every_agent:
        raise AdapterError("which agents? name some, or give --all for those that are installed")
    if dialect is not None and every_dialect:
        raise AdapterError("--dialect and --all-dialects exclude each other; leave one out")
    found = Selection([], [])
    for name in sorted(ADAPTERS) if every_agent else dict.fromkeys(names):
        facts = load_adapter(name).facts
        if every_agent and find_installed(facts) is None:
            found.missing.append(facts)
            continue
        require_installed(facts)
        found.subjects.extend(_subjects(name, facts, dialect, every_dialect=every_dialect))
    return found


def _subjects(
    name: str, facts: AgentFacts, dialect: str | None, *, every_dialect: bool
) -> Iterator[Subject]:
    if every_dialect:
        several = len(facts.dialects) > 1
        yield from (Subject(name, each, by_dialect=several) for each in facts.dialects)
        return
    asked = spoken_dialect(facts, dialect)
    # A row of the agent alone is about its first dialect.
    first = facts.dialects[0]
    yield Subject(name, asked or first, by_dialect=asked not in (None, first))
