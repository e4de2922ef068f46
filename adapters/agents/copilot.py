"""GitHub Copilot CLI, headless, with a provider of one's own: any of three dialects, one model.

Its own count is read from the session that it keeps: what it prints is rounded.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from cab.adapters.agents.base import AgentFacts, Launch, NpmInstall, Output, RunContext
from cab.adapters.agents.usage_reports import (
    KEPT,
    Object,
    ReportedTokens,
    add_up,
    count,
    kept_lines,
    member,
)
from cab.adapters.errors import BadSelfReport
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
        kind, wire = _WIRES[run.dialect or self.facts.dialects[0]]
        argv = (
            str(run.executable),
            "--allow-all-tools",
            "--no-auto-update",
            "--disable-builtin-mcps",
            "--model",
            run.model,
            f"--prompt={run.prompt}",
        )
        env = {
            **_QUIET,
            # Anthropic's client puts the version into the path by itself.
            "COPILOT_PROVIDER_BASE_URL": run.base_url + ("" if kind == "anthropic" else "/v1"),
            "COPILOT_PROVIDER_API_KEY": run.key,
            "COPILOT_PROVIDER_TYPE": kind,
            "COPILOT_PROVIDER_WIRE_API": wire,
            "COPILOT_MODEL": run.model,
        }
        return Launch(argv, env)

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the sum over the records of usage in the session."""
        return read_report(kept_lines(output.home, _SESSIONS, _NAME))


def read_report(events: Iterable[Object]) -> SelfReport | None:
    """Return the sum over all records of usage in a session; None if there is none.

    Args:
        events: The session's lines.

    Raises:
        BadSelfReport: A record cannot be read, or holds no count.
    """
    records = (event for event in events if event.get("type") == "session.usage_record")
    parts = [_tokens(member(member(each, "data", _NAME), "usage", _NAME)) for each in records]
    return add_up(parts).report(source=KEPT) if parts else None


def _tokens(usage: Object) -> ReportedTokens:
    # Cached tokens are among the input already, tokens of reasoning among the output.
    prompt, completion = (count(usage, key, _NAME) for key in ("inputTokens", "outputTokens"))
    if prompt == 0:
        raise BadSelfReport(f"{_NAME} counts 0 tokens for an answer, so the endpoint gave no count")
    return ReportedTokens(prompt, completion)
