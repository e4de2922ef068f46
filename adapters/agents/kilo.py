"""Kilo, headless, with its events as JSON: derived from opencode, with more traffic to switch off."""

from typing import Final

import orjson

from cab.adapters.agents.base import (
    AgentFacts,
    Launch,
    NpmInstall,
    Output,
    RunContext,
    UserStart,
    Wiring,
)
from cab.adapters.agents.opencode import (
    KEY,
    NOTES,
    command_line,
    provider_config,
    read_report,
    wired_config,
)
from cab.scoring.cells.cell import SelfReport

_NAME: Final = "kilo"
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
        notes=NOTES,
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line, environment and configuration of one prompt."""
        env = {**_QUIET, KEY: run.key, "KILO_CONFIG": str(run.home / _CONFIG)}
        config = orjson.dumps(provider_config(run, "@ai-sdk/openai-compatible")).decode()
        return Launch(command_line(run), env, {_CONFIG: config})

    def wire(self, start: UserStart) -> Wiring | None:
        """Return a configuration that is merged over the user's; see `wired_config`."""
        variable = "KILO_CONFIG_CONTENT"
        return Wiring(env={variable: wired_config(start, variable)})

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the sum over the steps that it prints."""
        return read_report(output.stdout, _NAME)
