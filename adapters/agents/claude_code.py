"""Claude Code, headless, with its events as JSON lines: one model for every size that it asks for."""

from typing import Final

from cab.adapters.agents.base import AgentFacts, Launch, NpmInstall, Output, RunContext
from cab.adapters.agents.usage_reports import (
    Object,
    ReportedTokens,
    add_up,
    count,
    json_lines,
    member,
)
from cab.adapters.errors import BadSelfReport
from cab.scoring.cells.cell import SelfReport

_QUIET: Final = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1",
    # It refuses to run as root without asking, unless it is told that it is kept apart.
    "IS_SANDBOX": "1",
}
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
        name="claude-code",
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
            "--output-format",
            "stream-json",
            "--verbose",
            "--dangerously-skip-permissions",
            "--model",
            run.model,
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

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the sum over the models of the result that it prints last."""
        return read_report(output.stdout)


def read_report(text: str) -> SelfReport | None:
    """Return the sum over all models in the last result of Claude Code's events; None without one.

    The answers' own events are of no use: each part of an answer repeats its usage, half done.

    Raises:
        BadSelfReport: A line cannot be read, or the counts are none.
    """
    result: Object | None = None
    exact = True
    for event in json_lines(text, "claude-code"):
        exact = exact and not _tells_of_a_failure(event)
        # Each result sums up all models and calls until then, those of the results before it too.
        result = event if event.get("type") == "result" else result
    if result is None:
        return None
    models = member(result, "modelUsage", "claude-code")
    total = add_up([_tokens(member(models, name, "claude-code")) for name in models])
    if total.prompt == 0:
        raise BadSelfReport("claude-code counts 0 tokens, so the endpoint gave no count")
    return total.report(exact=exact and result.get("is_error") is False)


def _tells_of_a_failure(event: Object) -> bool:
    # It asks the model in the user's name to go on where an answer was cut, and estimates that one.
    again = (event.get("type"), event.get("subtype")) == ("system", "api_retry")
    return again or event.get("isSynthetic") is True


def _tokens(usage: Object) -> ReportedTokens:
    fresh, read, written, output = (
        count(usage, key, "claude-code")
        for key in (
            "inputTokens",
            "cacheReadInputTokens",
            "cacheCreationInputTokens",
            "outputTokens",
        )
    )
    return ReportedTokens(fresh + read + written, output)
