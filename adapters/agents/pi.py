"""pi, headless: any of its three dialects, one model, no traffic at start-up.

Its own count is read from the session that it keeps. Its events on stdout hold the same figures, but
repeat the whole answer for every piece of it that comes in, which long answers make gigabytes of.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

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

_PROVIDER = "cab"
_KEY = "CAB_CELL_KEY"
_APIS: Final[Mapping[Endpoint, str]] = {
    "chat.completions": "openai-completions",
    "responses": "openai-responses",
    "messages": "anthropic-messages",
}
_SESSIONS = ".pi/agent/sessions/*/*.jsonl"
_FAILED = frozenset(("error", "aborted"))


class Pi:
    """The pi coding agent from npm."""

    facts = AgentFacts(
        name="pi",
        version="0.73.1",
        dialects=tuple(_APIS),
        install=NpmInstall("@mariozechner/pi-coding-agent", "pi", node_min=(20, 6)),
        token_report="session file, exact",
        notes=("Its count of the prompt leaves out what came from a cache; it is added here.",),
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line, environment and list of models of one prompt."""
        dialect = run.dialect or self.facts.dialects[0]
        argv = (
            str(run.executable),
            "--provider",
            _PROVIDER,
            "--model",
            run.model,
            "--print",
            _as_message(run.prompt),
        )
        env = {_KEY: run.key, "PI_OFFLINE": "1", "PI_TELEMETRY": "0", "PI_SKIP_VERSION_CHECK": "1"}
        models = orjson.dumps({"providers": {_PROVIDER: _provider(run, dialect)}}).decode()
        return Launch(argv, env, {".pi/agent/models.json": models})

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the sum over the answers in the session."""
        return read_report(kept_lines(output.home, _SESSIONS, "pi"))


def _provider(run: RunContext, dialect: Endpoint) -> dict[str, Any]:
    # Anthropic's client puts the version into the path by itself.
    base = run.base_url if dialect == "messages" else f"{run.base_url}/v1"
    # The name of a variable stands for its value, so that the key is in no file.
    return {
        "baseUrl": base,
        "api": _APIS[dialect],
        "apiKey": _KEY,
        "models": [{"id": run.model}],
    }


def _as_message(prompt: str) -> str:
    # There is no `--`: what begins as an option or as a file's mark would be taken for one.
    return f" {prompt}" if prompt.startswith(("-", "@")) else prompt


def read_report(entries: Iterable[Object]) -> SelfReport | None:
    """Return the sum over all answers in a session; None if none came.

    Args:
        entries: The session's lines.

    Raises:
        BadSelfReport: An entry cannot be read, or an answer has no count.
    """
    parts: list[ReportedTokens] = []
    exact = True
    for entry in entries:
        # What it costs to sum up a long conversation stands nowhere.
        exact = exact and entry.get("type") != "compaction"
        if entry.get("type") != "message":
            continue
        message = member(entry, "message", "pi")
        if message.get("role") == "assistant":
            parts.append(_tokens(message))
            exact = exact and not _failed(message)
    total = add_up(parts)
    # All that it has are failures: pi writes 0 for what the endpoint did not say.
    return total.report(source=KEPT, exact=exact) if total.prompt else None


def _tokens(message: Object) -> ReportedTokens:
    usage = member(message, "usage", "pi")
    fresh, read, written, output = (
        count(usage, key, "pi") for key in ("input", "cacheRead", "cacheWrite", "output")
    )
    prompt = fresh + read + written
    if prompt == 0 and not _failed(message):
        raise BadSelfReport("pi counts 0 tokens for an answer, so the endpoint gave no count")
    return ReportedTokens(prompt, output)


def _failed(message: Object) -> bool:
    # Such an answer may have been charged, and its count is 0 or what had come until then.
    return message.get("stopReason") in _FAILED
