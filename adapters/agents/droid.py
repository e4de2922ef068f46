"""Factory's Droid, headless, with a model of one's own; its account key is a word, as it is offline."""

from typing import Final

import orjson

from cab.adapters.agents.base import AgentFacts, Launch, NpmInstall, Output, RunContext
from cab.adapters.agents.usage_reports import ReportedTokens, count, json_lines, member
from cab.adapters.errors import BadSelfReport
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
            "The cell's key is in its settings below HOME: it takes it from nowhere else.",
            "Its count of the prompt leaves out what came from a cache; it is added here.",
        ),
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line, environment and settings of one prompt."""
        model = {
            "displayName": "cab",
            "model": run.model,
            "baseUrl": f"{run.base_url}/v1",
            "apiKey": run.key,
            "provider": "generic-chat-completion-api",
        }
        argv = (
            str(run.executable),
            "exec",
            "--model",
            "custom:cab-0",
            "--skip-permissions-unsafe",
            "--output-format",
            "json",
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
        """Return the usage of the result that it prints."""
        return read_report(output.stdout)


def read_report(text: str) -> SelfReport | None:
    """Return what the last object that Droid prints says of its usage; None if there is none.

    Raises:
        BadSelfReport: A line cannot be read, or holds no count.
    """
    results = [event for event in json_lines(text, _NAME) if "usage" in event]
    if not results:
        return None
    usage = member(results[-1], "usage", _NAME)
    keys = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    prompt = sum(count(usage, key, _NAME) for key in keys)
    if prompt == 0:
        raise BadSelfReport(f"{_NAME} counts 0 tokens, so the endpoint gave no count")
    return ReportedTokens(prompt, count(usage, "output_tokens", _NAME)).report()
