"""GitHub Copilot CLI, headless, with a provider of one's own: any of three dialects, one model.

Its own count is read from its session file: what it prints is rounded.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from cab.adapters.agents.base import (
    AgentFacts,
    Launch,
    NpmInstall,
    Output,
    RunContext,
    UserStart,
    Wiring,
)
from cab.adapters.agents.session_files import session_lines
from cab.adapters.agents.usage_reports import SESSION, Object, add_up, member, read_tokens
from cab.scoring.cells.cell import SelfReport
from cab.scoring.ledger.records import Endpoint

_NAME: Final = "copilot"
_WIRES: Final[Mapping[Endpoint, tuple[str, str]]] = {
    "chat.completions": ("openai", "completions"),
    "responses": ("openai", "responses"),
    "messages": ("anthropic", "completions"),
}
_SESSIONS: Final = ".copilot/session-state/*/events.jsonl"
_QUIET: Final = {"COPILOT_AUTO_UPDATE": "false", "COPILOT_OFFLINE": "true"}


class Copilot:
    """The Copilot CLI from npm."""

    facts = AgentFacts(
        name=_NAME,
        version="1.0.102",
        dialects=tuple(_WIRES),
        install=NpmInstall("@github/copilot", "copilot"),
        token_report="session file, exact",
        notes=("Its count leaves out calls that failed, or whose answer was cut.",),
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line and environment of one prompt."""
        dialect = run.dialect or self.facts.dialects[0]
        kind, wire = _WIRES[dialect]
        argv = (
            str(run.executable),
            "--allow-all-tools",
            "--no-auto-update",
            "--disable-builtin-mcps",
            *("--model", run.model),
            f"--prompt={run.prompt}",
        )
        env = {
            **_QUIET,
            "COPILOT_PROVIDER_BASE_URL": run.sdk_url(dialect),
            "COPILOT_PROVIDER_API_KEY": run.key,
            "COPILOT_PROVIDER_TYPE": kind,
            "COPILOT_PROVIDER_WIRE_API": wire,
            "COPILOT_MODEL": run.model,
        }
        return Launch(argv, env)

    def wire(self, start: UserStart) -> Wiring | None:
        """Return a provider of one's own; the model comes from `--model`, or from COPILOT_MODEL."""
        name = next((each for each in ("openai", "anthropic") if each in start.apis), None)
        if name is None:
            return None
        url, key = start.apis[name]
        env = {
            "COPILOT_PROVIDER_BASE_URL": f"{url}/v1" if name == "openai" else url,
            "COPILOT_PROVIDER_TYPE": name,
        }
        return Wiring(env=env if key is None else {**env, "COPILOT_PROVIDER_API_KEY": key})

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the sum over the records of usage in the session."""
        return read_report(session_lines(output.home, _SESSIONS, _NAME))


def read_report(events: Iterable[Object]) -> SelfReport | None:
    """Return the sum over all records of usage in a session; None if there is none.

    Args:
        events: The session's lines.

    Raises:
        BadSelfReport: A record cannot be read, or a count is not one.
    """
    records = (event for event in events if event.get("type") == "session.usage_record")
    usages = (member(member(each, "data", _NAME), "usage", _NAME) for each in records)
    # The input includes cached tokens, the output includes tokens of reasoning.
    parts = [
        read_tokens(usage, _NAME, ("inputTokens",), ("outputTokens",)).nonzero(_NAME)
        for usage in usages
    ]
    return add_up(parts).report(source=SESSION) if parts else None
