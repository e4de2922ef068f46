"""gptme, headless: one model, no tokenizer from another host."""

from cab.adapters.agents.base import AgentFacts, Launch, Output, PyPIInstall, RunContext
from cab.adapters.agents.session_json import as_object
from cab.adapters.agents.usage_reports import (
    KEPT,
    Object,
    ReportedTokens,
    add_up,
    count,
    kept_lines,
    member,
)
from cab.scoring.cells.cell import SelfReport

_NAME = "gptme"
_LOGS = ".local/share/gptme/logs/*/conversation.jsonl"


class Gptme:
    """The gptme CLI from PyPI."""

    facts = AgentFacts(
        name=_NAME,
        version="0.35.1",
        dialects=("chat.completions",),
        install=PyPIInstall("gptme", "gptme", python_min=(3, 10), python_below=(3, 15)),
        token_report="session file, without the call that names the conversation",
        notes=(
            "Its count of the prompt leaves out what came from a cache; it is added here.",
            "It takes 4 characters for a token when it cuts a long conversation, as its tokenizer "
            "would come from another host.",
        ),
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line and environment of one prompt."""
        argv = (
            str(run.executable),
            "--non-interactive",
            "--no-confirm",
            # The provider without models of its own: nothing else is there for names or summaries.
            f"--model=local/{run.model}",
            "--",
            run.prompt,
        )
        env = {
            "OPENAI_BASE_URL": f"{run.base_url}/v1",
            "OPENAI_API_KEY": run.key,
            "GPTME_TIKTOKEN_TIMEOUT": "0",
        }
        return Launch(argv, env)

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the sum over the answers in the conversation that it keeps."""
        messages = kept_lines(output.home, _LOGS, _NAME)
        parts = [_tokens(each) for each in messages if each.get("role") == "assistant"]
        return add_up(parts).report(source=KEPT, exact=False) if parts else None


def _tokens(message: Object) -> ReportedTokens:
    usage = member(as_object(message.get("metadata"), "answer", _NAME), "usage", _NAME)
    prompt = count(usage, "input_tokens", _NAME)
    # What the endpoint does not tell apart, gptme leaves out.
    parts = ("cache_read_tokens", "cache_creation_tokens")
    cached = sum(count(usage, key, _NAME, default=0) for key in parts)
    return ReportedTokens(prompt + cached, count(usage, "output_tokens", _NAME))
