"""gptme, headless: one model, no tokenizer from another host."""

from cab.adapters.agents.base import AgentFacts, Launch, Output, PyPIInstall, RunContext
from cab.adapters.agents.session_files import session_lines
from cab.adapters.agents.usage_reports import (
    SESSION,
    Object,
    ReportedTokens,
    add_up,
    as_object,
    count,
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
            "It counts 4 characters as a token when it cuts a long conversation, as its tokenizer "
            "would be downloaded from another host.",
        ),
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line and environment of one prompt."""
        argv = (
            str(run.executable),
            "--non-interactive",
            "--no-confirm",
            # This provider has no other models that could be used for names or summaries.
            f"--model=local/{run.model}",
            "--",
            run.prompt,
        )
        env = {
            "OPENAI_BASE_URL": run.v1_url,
            "OPENAI_API_KEY": run.key,
            "GPTME_TIKTOKEN_TIMEOUT": "0",
        }
        return Launch(argv, env)

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the sum over the answers in the conversations in its logs."""
        messages = session_lines(output.home, _LOGS, _NAME)
        parts = [_tokens(each) for each in messages if each.get("role") == "assistant"]
        return add_up(parts).report(source=SESSION, exact=False) if parts else None


def _tokens(message: Object) -> ReportedTokens:
    usage = member(as_object(message.get("metadata"), "answer", _NAME), "usage", _NAME)
    prompt = count(usage, "input_tokens", _NAME)
    # gptme leaves out the parts that the endpoint does not report.
    parts = ("cache_read_tokens", "cache_creation_tokens")
    cached = sum(count(usage, key, _NAME, default=0) for key in parts)
    return ReportedTokens(prompt + cached, count(usage, "output_tokens", _NAME))
