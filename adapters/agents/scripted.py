"""A tiny agent of our own, for demonstrations and tests: one file, HTTP only, nothing to install."""

import re
from pathlib import Path

from cab.adapters.agents.base import AgentFacts, Launch, Output, RunContext
from cab.adapters.agents.usage_reports import ReportedTokens
from cab.adapters.errors import BadSelfReport
from cab.scoring.cells.cell import SelfReport

_AGENT = Path(__file__).with_name("scripted_agent.py")
_LINE = re.compile(r"tokens: (\d+) prompt, (\d+) completion, \d+ calls")
_UNKNOWN = re.compile(r"tokens: unknown, \d+ calls")


class Scripted:
    """`scripted_agent.py`, run by our own Python as a process of its own; in a container by the image's."""

    facts = AgentFacts(
        name="scripted",
        version="1",
        dialects=("chat.completions",),
        token_report="stdout, exact",
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line and environment of one prompt."""
        # -I: neither the workspace nor the user's site-packages may replace the standard library.
        argv = (str(run.executable), "-I", str(run.home / _AGENT.name), "--stream", run.prompt)
        env = {
            "OPENAI_BASE_URL": run.v1_url,
            "OPENAI_API_KEY": run.key,
            "OPENAI_MODEL": run.model,
        }
        # In its HOME it is there in a container, too.
        return Launch(argv, env, {_AGENT.name: _AGENT.read_text()})

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the counts of the last line that it prints."""
        lines = [line for line in output.stdout.splitlines() if line.startswith("tokens: ")]
        if not lines or _UNKNOWN.fullmatch(lines[-1]):
            return None
        match = _LINE.fullmatch(lines[-1])
        if match is None:
            raise BadSelfReport(f"the scripted agent's token line cannot be read: {lines[-1]!r}")
        return ReportedTokens(int(match[1]), int(match[2])).report()
