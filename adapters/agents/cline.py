"""Cline, headless, with its events as JSON lines.

It leaves a daemon running, its hub; each HOME has a hub of its own, which the runner ends after the run.
"""

from typing import Final

import orjson

from cab.adapters.agents.base import AgentFacts, Launch, NpmInstall, Output, RunContext
from cab.adapters.agents.usage_reports import json_lines, member, read_tokens
from cab.scoring.cells.cell import SelfReport

_NAME: Final = "cline"
_PROVIDER: Final = "openai-compatible"
_SETTINGS: Final = ".cline/data/settings"
_QUIET: Final = {"telemetryOptOut": True, "autoUpdateEnabled": False}
_DATE: Final = "2026-01-01T00:00:00.000Z"


class Cline:
    """The Cline CLI from npm."""

    facts = AgentFacts(
        name=_NAME,
        version="3.0.65",
        dialects=("chat.completions",),
        install=NpmInstall("cline", "cline"),
        token_report="stdout (JSON events), exact",
        notes=(
            "The cell's key is in its settings below HOME: it does not read it from anywhere else.",
        ),
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line, environment and settings of one prompt."""
        argv = (
            str(run.executable),
            *("--provider", _PROVIDER),
            *("--model", run.model),
            *("--auto-approve", "true"),
            "--json",
            "--",
            run.prompt,
        )
        settings = {
            "provider": _PROVIDER,
            "apiKey": run.key,
            "model": run.model,
            "baseUrl": run.v1_url,
        }
        # Without a date and a source the file is ignored.
        provider = {"settings": settings, "updatedAt": _DATE, "tokenSource": "manual"}
        providers = {
            "version": 1,
            "lastUsedProvider": _PROVIDER,
            "modes": {},
            "providers": {_PROVIDER: provider},
        }
        files = {
            f"{_SETTINGS}/providers.json": orjson.dumps(providers).decode(),
            f"{_SETTINGS}/global-settings.json": orjson.dumps(_QUIET).decode(),
        }
        return Launch(argv, {"CLINE_NO_AUTO_UPDATE": "1"}, files)

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the sums of the last result in Cline's events; None if there is no such event.

        Raises:
            BadSelfReport: A line cannot be read, or the result has no count.
        """
        results = [
            event for event in json_lines(output.stdout, _NAME) if event.get("type") == "run_result"
        ]
        if not results:
            return None
        usage = member(results[-1], "aggregateUsage", _NAME)
        # The input includes cached tokens, the output includes tokens of reasoning.
        return (
            read_tokens(usage, _NAME, ("inputTokens",), ("outputTokens",)).nonzero(_NAME).report()
        )
