"""Agents for sweeps, given by dotted path: quick ones, and some that only the infrastructure can fail."""

import os
import sys
from dataclasses import replace

from cab.adapters.agents.base import AgentFacts, Launch, Output, RunContext
from cab.adapters.agents.scripted import Scripted
from tests.adapters.toyagents import STUBBORN, script


class Whole(Scripted):
    """The scripted agent without streaming."""

    facts = replace(Scripted.facts, name="whole")

    def launch(self, run: RunContext) -> Launch:
        launch = super().launch(run)
        return replace(launch, argv=tuple(word for word in launch.argv if word != "--stream"))


class Silent(Scripted):
    """The scripted agent, which keeps its own count to itself."""

    facts = replace(Scripted.facts, name="silent", token_report=None)

    def self_report(self, output: Output) -> None:
        del output


class Stubborn:
    """Ignores SIGTERM, and writes to a pipe that it runs; without a pipe it ends."""

    facts = AgentFacts("stubborn", "1", ("chat.completions",))

    def launch(self, run: RunContext) -> Launch:
        del run
        ready = os.environ.get("TEST_READY")
        return Launch(script(STUBBORN, ready) if ready else script(""))

    def self_report(self, output: Output) -> None:
        del output


class Crashing:
    """Takes the process down that wants to use it."""

    def __init__(self) -> None:
        sys.stderr.write("about to crash\n")
        sys.stderr.flush()
        os._exit(7)


class Newer(Scripted):
    """The same name, another version."""

    facts = replace(Scripted.facts, version="2")


class Slashed(Scripted):
    """A name that cannot be part of a cell id."""

    facts = replace(Scripted.facts, name="a/b")
