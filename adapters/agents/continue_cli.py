"""Continue's CLI, headless, with a configuration of its own below HOME."""

from typing import Final

import orjson

from cab.adapters.agents.base import AgentFacts, Launch, NpmInstall, Output, RunContext
from cab.adapters.agents.session_files import read_session_file
from cab.adapters.agents.usage_reports import (
    SESSION,
    ReportedTokens,
    add_up,
    as_object,
    member,
    read_tokens,
)
from cab.adapters.errors import BadSelfReport
from cab.scoring.cells.cell import SelfReport

_NAME: Final = "continue"
_CONFIG: Final = ".continue/config.yaml"
_SESSIONS: Final = ".continue/sessions/*.json"
_INDEX: Final = "sessions.json"


class Continue:
    """The Continue CLI, `cn`, from npm."""

    facts = AgentFacts(
        name=_NAME,
        version="1.5.47",
        dialects=("chat.completions",),
        install=NpmInstall("@continuedev/cli", "cn"),
        token_report="session file, exact",
        notes=(
            "The cell's key is in its configuration below HOME: it does not read it from anywhere else.",
        ),
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line, environment and configuration of one prompt."""
        argv = (
            str(run.executable),
            *("--config", str(run.home / _CONFIG)),
            "--auto",
            "--print",
            # There is no `--`: a prompt that starts like an option would be read as one.
            f" {run.prompt}" if run.prompt.startswith("-") else run.prompt,
        )
        model = {
            "name": run.model,
            "provider": "openai",
            "model": run.model,
            "apiBase": run.v1_url,
            "apiKey": run.key,
            "roles": ["chat", "edit", "apply", "summarize"],
        }
        # JSON is YAML too, and needs no library.
        config = {"name": "cab", "version": "1.0.0", "schema": "v1", "models": [model]}
        env = {"CONTINUE_CLI_ENABLE_TELEMETRY": "0", "CONTINUE_METRICS_ENABLED": "0"}
        return Launch(argv, env, {_CONFIG: orjson.dumps(config).decode()})

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the sum over its session files."""
        sessions = sorted(output.home.glob(_SESSIONS))
        read = [
            read_session(read_session_file(path, _NAME)) for path in sessions if path.name != _INDEX
        ]
        parts = [tokens for tokens in read if tokens is not None]
        return add_up(parts).report(source=SESSION) if parts else None


def read_session(data: bytes) -> ReportedTokens | None:
    """Return the usage of a session; None if it has none.

    Raises:
        BadSelfReport: It is broken, or a count is not one.
    """
    try:
        session: object = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadSelfReport(f"{_NAME}'s session is broken JSON: {error}") from error
    stored = as_object(session, "session", _NAME)
    if "usage" not in stored:
        return None
    usage = member(stored, "usage", _NAME)
    tokens = read_tokens(usage, _NAME, ("promptTokens",), ("completionTokens",))
    # It writes 0 where the endpoint gave no count.
    return tokens if tokens.prompt else None
