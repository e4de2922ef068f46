"""Factory's Droid, headless, with a custom model; it is offline, so its account key is not used."""

from typing import Final

import orjson

from cab.adapters.agents.base import AgentFacts, Launch, NpmInstall, Output, RunContext
from cab.adapters.agents.usage_reports import json_lines, member, read_tokens
from cab.scoring.cells.cell import SelfReport

_NAME: Final = "droid"


class Droid:
    """The Droid CLI from npm."""

    facts = AgentFacts(
        name=_NAME,
        version="0.215.0",
        dialects=("chat.completions",),
        install=NpmInstall("droid", "droid"),
        token_report="stdout (JSON), exact",
        notes=(
            "The cell's key is in its settings below HOME: it does not read it from anywhere else.",
            "Its count of the prompt leaves out what came from a cache; it is added here.",
        ),
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line, environment and settings of one prompt."""
        model = {
            "displayName": "cab",
            "model": run.model,
            "baseUrl": run.v1_url,
            "apiKey": run.key,
            "provider": "generic-chat-completion-api",
        }
        argv = (
            str(run.executable),
            "exec",
            *("--model", "custom:cab-0"),
            "--skip-permissions-unsafe",
            *("--output-format", "json"),
            "--",
            run.prompt,
        )
        env = {
            "FACTORY_API_KEY": "none",
            "FACTORY_AIRGAP_ENABLED": "1",
            "FACTORY_DROID_AUTO_UPDATE_ENABLED": "false",
            "FACTORY_OTEL_ENABLED": "false",
        }
        settings = {"customModels": [model], "cloudSessionSync": False}
        return Launch(argv, env, {".factory/settings.json": orjson.dumps(settings).decode()})

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the usage in the last object that Droid prints; None if there is none.

        Raises:
            BadSelfReport: A line cannot be read, or a count is not one.
        """
        results = [event for event in json_lines(output.stdout, _NAME) if "usage" in event]
        if not results:
            return None
        usage = member(results[-1], "usage", _NAME)
        sent = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        return read_tokens(usage, _NAME, sent, ("output_tokens",)).nonzero(_NAME).report()
