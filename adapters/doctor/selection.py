"""Which agents are examined, and in which of their dialects."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cab.adapters.agents.base import AgentFacts
from cab.adapters.agents.registry import ADAPTERS, load_adapter
from cab.adapters.doctor.parent import Subject
from cab.adapters.errors import AdapterError
from cab.adapters.install.install import find_installed, require_installed
from cab.adapters.runs.spec import choose_dialect


class Selection(NamedTuple):
    """The agents of a command line."""

    subjects: list[Subject]
    missing: list[AgentFacts]


def select_subjects(
    names: Sequence[str], dialect: str | None, *, every_agent: bool, every_dialect: bool
) -> Selection:
    """Return what to examine.

    Args:
        names: Agents.
        dialect: The one to examine them in; None is the first that each speaks.
        every_agent: Take all known agents that are installed; `names` must be empty.
        every_dialect: Examine each agent in all that it speaks.

    Raises:
        AdapterError: An agent is unknown or not installed, or does not speak the dialect.
    """
    if bool(names) == every_agent:
        raise AdapterError("which agents? name some, or give --all for those that are installed")
    if dialect is not None and every_dialect:
        raise AdapterError("--dialect and --all-dialects exclude each other; remove one")
    selection = Selection([], [])
    for name in sorted(ADAPTERS) if every_agent else dict.fromkeys(names):
        facts = load_adapter(name).facts
        if every_agent and find_installed(facts) is None:
            selection.missing.append(facts)
            continue
        require_installed(facts)
        selection.subjects.extend(_subjects(name, facts, dialect, every_dialect=every_dialect))
    return selection


def _subjects(
    name: str, facts: AgentFacts, dialect: str | None, *, every_dialect: bool
) -> Iterator[Subject]:
    if every_dialect:
        several = len(facts.dialects) > 1
        yield from (Subject(name, each, by_dialect=several) for each in facts.dialects)
        return
    asked = choose_dialect(facts, dialect)
    # A row that names no dialect is about the first one.
    first = facts.dialects[0]
    yield Subject(name, asked or first, by_dialect=asked not in (None, first))
