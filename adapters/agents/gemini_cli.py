"""Gemini CLI, headless, with its statistics as JSON: one model, asked for in the path."""

from typing import Any, Final

import orjson

from cab.adapters.agents.base import AgentFacts, Launch, NpmInstall, Output, RunContext
from cab.adapters.agents.usage_reports import Object, add_up, member, read_tokens
from cab.adapters.errors import BadSelfReport
from cab.scoring.cells.cell import SelfReport

_SETTINGS: Final[dict[str, Any]] = {
    "general": {"enableAutoUpdate": False, "disableAutoUpdate": True},
    "privacy": {"usageStatisticsEnabled": False},
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "telemetry": {"enabled": False},
}
# Its side calls have built-in models under these names; other such names inherit from the first, and
# keep settings of their own.
_ALIASES: Final = (
    "gemini-3-flash-base",
    "gemini-2.5-flash-base",
    "gemini-3.5-flash-base",
    "loop-detection-double-check",
    "chat-compression-default",
    "chat-compression-3-pro",
    "chat-compression-3-flash",
    "chat-compression-3.1-flash-lite",
    "chat-compression-2.5-pro",
    "chat-compression-2.5-flash",
    "chat-compression-2.5-flash-lite",
    "classifier",
    "summarizer-default",
    "summarizer-shell",
    "agent-history-provider-summarizer",
    "prompt-completion",
    "edit-corrector",
    "fast-ack-helper",
)
_SUBAGENTS: Final = ("codebase_investigator", "cli_help", "generalist", "browser_agent")
_NAME: Final = "gemini-cli"


class GeminiCli:
    """The Gemini CLI from npm."""

    facts = AgentFacts(
        name=_NAME,
        version="0.61.0",
        dialects=("gemini.generateContent",),
        install=NpmInstall("@google/gemini-cli", "gemini"),
        token_report="stdout (JSON), exact",
        notes=(
            "Its count leaves out calls that failed, or whose answer was cut.",
            "Its settings give each of its own side calls and subagents the model of the run. "
            "Not covered: subagents that a workspace defines, and the model it may fall back on when "
            "the endpoint refuses one with a built-in name.",
        ),
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line, environment and settings of one prompt."""
        argv = (
            str(run.executable),
            "--yolo",
            *("--model", run.model),
            *("--output-format", "json"),
            f"--prompt={run.prompt}",
        )
        env = {
            "GEMINI_API_KEY": run.key,
            "GOOGLE_GEMINI_BASE_URL": run.base_url,
            "GEMINI_CLI_TRUST_WORKSPACE": "true",
        }
        return Launch(argv, env, {".gemini/settings.json": _settings(run.model)})

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the sum over all models in the object that Gemini CLI prints; None without one.

        Raises:
            BadSelfReport: The object cannot be read, or has no count.
        """
        start = output.stdout.find("{")
        if start < 0:
            return None
        try:
            printed: Object = orjson.loads(output.stdout[start:])
        except orjson.JSONDecodeError as error:
            raise BadSelfReport(f"{_NAME}'s output is broken JSON: {error}") from error
        if "stats" not in printed:
            return None
        models = member(member(printed, "stats", _NAME), "models", _NAME)
        usages = (member(member(models, name, _NAME), "tokens", _NAME) for name in models)
        # The prompt includes cached tokens; the candidates do not include thoughts.
        total = add_up(
            read_tokens(usage, _NAME, ("prompt",), ("candidates", "thoughts")) for usage in usages
        )
        return total.report() if total.prompt else None


def _settings(model: str) -> str:
    chosen = {"modelConfig": {"model": model}}
    pinned = {
        "modelConfigs": {
            "customAliases": {name: {"extends": "base", **chosen} for name in _ALIASES}
        },
        "agents": {"overrides": dict.fromkeys(_SUBAGENTS, chosen)},
    }
    return orjson.dumps(_SETTINGS | pinned).decode()
