"""Agents for cells in containers: with a stub of the engine nothing of them runs."""

from cab.adapters.agents.base import AgentFacts, Launch, NpmInstall, Output, RunContext
from cab.scoring.cells.cell import SelfReport


class _Boxed:
    name = "boxed"
    code = "print(1)"

    @property
    def facts(self) -> AgentFacts:
        return AgentFacts(
            self.name, "1.2.3", ("chat.completions",), install=NpmInstall("boxed", "python3")
        )

    def launch(self, run: RunContext) -> Launch:
        env = {"BOXED_KEY": run.key, "BOXED_URL": run.base_url}
        return Launch((str(run.executable), "-c", self.code), env, {"boxed.toml": "ours"})

    def self_report(self, output: Output) -> SelfReport | None:
        del output
        return None


class Boxed(_Boxed):
    """Hands its key and URL on in variables of its own."""


class Absent(_Boxed):
    """A program that no image has."""

    name = "absent"

    def launch(self, run: RunContext) -> Launch:
        del run
        return Launch(("no-such-program", "-x"))


class Exposing(_Boxed):
    """Hands its key on in a variable that belongs to the engine's program."""

    name = "exposing"

    def launch(self, run: RunContext) -> Launch:
        return Launch(("agent",), {"DOCKER_TOKEN": run.key})
