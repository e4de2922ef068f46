"""Continue's CLI, headless, with a configuration of its own below HOME."""

from typing import Final

import orjson

from cab.adapters.agents.base import AgentFacts, Launch, NpmInstall, Output, RunContext
from cab.adapters.agents.session_files import read_kept
from cab.adapters.agents.usage_reports import KEPT, ReportedTokens, add_up, count, member
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
            "The cell's key is in its configuration below HOME: it takes it from nowhere else.",
        ),
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line, environment and configuration of one prompt."""
        argv = (
            str(run.executable),
            "--config",
            str(run.home / _CONFIG),
            "--auto",
            "--print",
            # There is no `--`: what begins as an option would be taken for one.
            f" {run.prompt}" if run.prompt.startswith("-") else run.prompt,
        )
        model = {
            "name": run.model,
            "provider": "openai",
            "model": run.model,
            "apiBase": f"{run.base_url}/v1",
            "apiKey": run.key,
            "roles": ["chat", "edit", "apply", "summarize"],
        }
        # JSON is YAML too, and needs no library.
        config = {"name": "cab", "version": "1.0.0", "schema": "v1", "models": [model]}
        env = {"CONTINUE_CLI_ENABLE_TELEMETRY": "0", "CONTINUE_METRICS_ENABLED": "0"}
        return Launch(argv, env, {_CONFIG: orjson.dumps(config).decode()})

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the sum over the sessions that it keeps."""
        sessions = sorted(output.home.glob(_SESSIONS))
        read = [read_session(read_kept(path, _NAME)) for path in sessions if path.name != _INDEX]
        parts = [tokens for tokens in read if tokens is not None]
        return add_up(parts).report(source=KEPT) if parts else None


def read_session(data: bytes) -> ReportedTokens | None:
    """Return the usage of a session; None if it has none.

    Raises:
        BadSelfReport: It is broken, or holds no count.
    """
    try:
        session: object = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadSelfReport(f"{_NAME}'s session is broken JSON: {error}") from error
    kept = member({"session": session}, "session", _NAME)
    if "usage" not in kept:
        return None
    usage = member(kept, "usage", _NAME)
    prompt, completion = (count(usage, key, _NAME) for key in ("promptTokens", "completionTokens"))
    # It writes 0 for what the endpoint did not say.
    return ReportedTokens(prompt, completion) if prompt else None
