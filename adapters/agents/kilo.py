"""Kilo, headless, with its events as JSON: a relative of opencode, with traffic of its own to switch off."""

from typing import Any, Final

import orjson

from cab.adapters.agents.base import AgentFacts, Launch, NpmInstall, Output, RunContext
from cab.adapters.agents.opencode import read_report
from cab.scoring.cells.cell import SelfReport

_NAME: Final = "kilo"
_PROVIDER: Final = "cab"
_KEY: Final = "CAB_CELL_KEY"
_CONFIG: Final = ".config/kilo/kilo.json"
_QUIET: Final = {
    "KILO_DISABLE_AUTOUPDATE": "1",
    "KILO_DISABLE_CODEBASE_INDEXING": "1",
    "KILO_DISABLE_LSP_DOWNLOAD": "1",
    "KILO_DISABLE_MODELS_FETCH": "1",
    "KILO_DISABLE_PRESENCE": "1",
    "KILO_DISABLE_SESSION_INGEST": "1",
    "KILO_DISABLE_SHARE": "1",
    "KILO_NO_DAEMON": "1",
    "KILO_TELEMETRY_LEVEL": "off",
}


class Kilo:
    """The Kilo CLI from npm."""

    facts = AgentFacts(
        name=_NAME,
        version="7.7.7",
        dialects=("chat.completions",),
        install=NpmInstall("@kilocode/cli", "kilo"),
        wants_git=True,
        token_report="stdout (JSON events), without the title call",
        notes=(
            "Its count leaves out the call that names the session, and those that failed.",
            "Its count of the prompt leaves out what came from a cache; it is added here.",
        ),
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line, environment and configuration of one prompt."""
        model = f"{_PROVIDER}/{run.model}"
        argv = (
            str(run.executable),
            "run",
            "--auto",
            "--model",
            model,
            "--format",
            "json",
            "--",
            run.prompt,
        )
        env = {**_QUIET, _KEY: run.key, "KILO_CONFIG": str(run.home / _CONFIG)}
        return Launch(argv, env, {_CONFIG: orjson.dumps(_config(run, model)).decode()})

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the sum over the steps that it prints."""
        return read_report(output.stdout, _NAME)


def _config(run: RunContext, model: str) -> dict[str, Any]:
    options = {"baseURL": f"{run.base_url}/v1", "apiKey": f"{{env:{_KEY}}}"}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": _PROVIDER,
        "options": options,
        "models": {run.model: {"name": run.model}},
    }
    return {
        "model": model,
        "small_model": model,
        "provider": {_PROVIDER: provider},
        "enabled_providers": [_PROVIDER],
        "autoupdate": False,
        "share": "disabled",
    }
