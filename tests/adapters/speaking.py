"""Adapters whose agent speaks another of its dialects than its first: `speaking:pi@messages`."""

import dataclasses
from collections.abc import Callable

from cab.adapters.agents.base import Adapter, Launch, Output, RunContext
from cab.adapters.agents.registry import load_adapter
from cab.scoring.cells.cell import SelfReport
from cab.scoring.ledger.records import Endpoint


class Speaking:
    """An adapter, with the dialect of every run fixed.

    Args:
        adapter: It.
        dialect: One of those that its facts name.
    """

    def __init__(self, adapter: Adapter, dialect: Endpoint) -> None:
        self.facts = adapter.facts
        self._adapter = adapter
        self._dialect = dialect

    def launch(self, run: RunContext) -> Launch:
        """Return how to start the agent so that it speaks the dialect."""
        return self._adapter.launch(dataclasses.replace(run, dialect=self._dialect))

    def self_report(self, output: Output) -> SelfReport | None:
        """Return what the agent says it used."""
        return self._adapter.self_report(output)


def path_of(agent: str, dialect: Endpoint) -> str:
    """Return the dotted path of such an adapter."""
    return f"{__name__}:{agent}@{dialect}"


def __getattr__(name: str) -> Callable[[], Adapter]:
    agent, _, spoken = name.partition("@")
    if not spoken:
        raise AttributeError(name)
    adapter = load_adapter(agent)
    (dialect,) = (each for each in adapter.facts.dialects if each == spoken)
    return lambda: Speaking(adapter, dialect)
