"""Claude Code, headless, with its events as JSON lines: one model for every size that it asks for."""

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
from cab.adapters.agents.usage_reports import (
    Object,
    add_up,
    json_lines,
    member,
    read_tokens,
)
from cab.scoring.cells.cell import SelfReport

_QUIET: Final = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1",
    # Without this it refuses to run as root unattended.
    "IS_SANDBOX": "1",
}
_NAME: Final = "claude-code"
_PROMPT: Final = ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
_COMPLETION: Final = ("outputTokens",)
_MODELS: Final = (
    "ANTHROPIC_MODEL",
    "ANTHROPIC_SMALL_FAST_MODEL",
    "ANTHROPIC_DEFAULT_FABLE_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "CLAUDE_CODE_SUBAGENT_MODEL",
)


class ClaudeCode:
    """The Claude Code CLI from npm."""

    facts = AgentFacts(
        name=_NAME,
        version="2.1.329",
        dialects=("messages",),
        install=NpmInstall("@anthropic-ai/claude-code", "claude", node_min=(22,)),
        token_report="stdout (JSON events), exact",
        notes=(
            "Its count of the prompt leaves out what came from a cache; it is added here.",
            "Its count leaves out calls that failed, and estimates answers that were cut.",
        ),
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line and environment of one prompt."""
        argv = (
            str(run.executable),
            "--print",
            *("--output-format", "stream-json"),
            "--verbose",
            "--dangerously-skip-permissions",
            *("--model", run.model),
            "--",
            run.prompt,
        )
        env = {
            **_QUIET,
            **dict.fromkeys(_MODELS, run.model),
            "ANTHROPIC_BASE_URL": run.base_url,
            "ANTHROPIC_API_KEY": run.key,
        }
        return Launch(argv, env)

    def wire(self, start: UserStart) -> Wiring | None:
        """Return the key as a token: on a terminal it asks whether a new API key may be used."""
        if "anthropic" not in start.apis:
            return None
        key = start.apis["anthropic"].key
        if key is None:
            return Wiring()
        return Wiring(env={"ANTHROPIC_AUTH_TOKEN": key, "ANTHROPIC_API_KEY": None})

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the sum over all models in the last result of Claude Code's events; None without one.

        The events of the answers cannot be used: each part of an answer repeats an incomplete usage.

        Raises:
            BadSelfReport: A line cannot be read, or a count is not one.
        """
        result: Object | None = None
        exact = True
        for event in json_lines(output.stdout, _NAME):
            exact = exact and not _is_failure(event)
            # Each result sums up all models and calls until then, including those of earlier results.
            result = event if event.get("type") == "result" else result
        if result is None:
            return None
        models = member(result, "modelUsage", _NAME)
        parts = [
            read_tokens(member(models, name, _NAME), _NAME, _PROMPT, _COMPLETION) for name in models
        ]
        return add_up(parts).nonzero(_NAME).report(exact=exact and result.get("is_error") is False)


def _is_failure(event: Object) -> bool:
    # If an answer was cut, it asks the model to go on in the user's name, and estimates that answer.
    again = (event.get("type"), event.get("subtype")) == ("system", "api_retry")
    return again or event.get("isSynthetic") is True
