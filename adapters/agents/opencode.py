"""opencode, headless, with its events as JSON: any of three dialects, one model for work and titles."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

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
from cab.scoring.ledger.records import Endpoint

_NAME = "opencode"
_VERSION = "1.18.33"
_PROVIDER = "cab"
_KEY = "CAB_CELL_KEY"
_CONFIG = ".config/opencode"
# The library with which opencode calls an endpoint decides what it speaks; all three are built in.
_LIBRARIES: Final[Mapping[Endpoint, str]] = {
    "chat.completions": "@ai-sdk/openai-compatible",
    "responses": "@ai-sdk/openai",
    "messages": "@ai-sdk/anthropic",
}
_QUIET = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_SHARE": "1",
}


class Opencode:
    """The opencode CLI from npm."""

    facts = AgentFacts(
        name=_NAME,
        version=_VERSION,
        dialects=tuple(_LIBRARIES),
        install=NpmInstall("opencode-ai", "opencode"),
        wants_git=True,
        token_report="stdout (JSON events), without the title call",
        image="codingagentbench/opencode",
        notes=(
            "Its count leaves out the call that names the session, and those that failed.",
            "Its count of the prompt leaves out what came from a cache; it is added here.",
        ),
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line, environment and configuration of one prompt."""
        model = f"{_PROVIDER}/{run.model}"
        argv = (
            str(run.executable),
            "run",
            "--model",
            model,
            "--format",
            "json",
            "--auto",
            "--",
            run.prompt,
        )
        config = orjson.dumps(_config(run, model)).decode()
        files = {f"{_CONFIG}/opencode.json": config, **_dependencies()}
        return Launch(argv, {**_QUIET, _KEY: run.key}, files)

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the sum over the steps that it prints."""
        return read_report(output.stdout)


def _config(run: RunContext, model: str) -> dict[str, Any]:
    options = {"baseURL": f"{run.base_url}/v1", "apiKey": f"{{env:{_KEY}}}"}
    provider = {
        "npm": _LIBRARIES[run.dialect or "chat.completions"],
        "name": _PROVIDER,
        "options": options,
        "models": {run.model: {"name": run.model}},
    }
    return {
        "$schema": "https://opencode.ai/config.json",
        "model": model,
        "small_model": model,
        "provider": {_PROVIDER: provider},
        "enabled_providers": [_PROVIDER],
        "autoupdate": False,
        "share": "disabled",
    }


def _dependencies() -> dict[str, str]:
    """Return files that say that the library for plug-ins is there, or opencode would fetch it."""
    lock = {"packages": {"": {"dependencies": {"@opencode-ai/plugin": _VERSION}}}}
    return {
        f"{_CONFIG}/package-lock.json": orjson.dumps(lock).decode(),
        f"{_CONFIG}/node_modules/.package-lock.json": "{}",
    }


def read_report(text: str, agent: str = _NAME) -> SelfReport | None:
    """Return the sum over all steps in the events; None if there is none.

    Args:
        text: What the agent printed.
        agent: Its name, for errors: relatives of opencode print the same.

    Raises:
        BadSelfReport: An event cannot be read, or a step has no count.
    """
    steps = (event for event in json_lines(text, agent) if event.get("type") == "step_finish")
    parts = [_tokens(member(step, "part", agent), agent) for step in steps]
    return add_up(parts).report(exact=False) if parts else None


def _tokens(part: Object, agent: str) -> ReportedTokens:
    tokens = member(part, "tokens", agent)
    cache = member(tokens, "cache", agent)
    fresh, output, reasoning = (
        count(tokens, key, agent) for key in ("input", "output", "reasoning")
    )
    read, written = (count(cache, key, agent) for key in ("read", "write"))
    prompt = fresh + read + written
    if prompt == 0:
        raise BadSelfReport(f"{agent} counts 0 tokens for a step, so the endpoint gave no count")
    return ReportedTokens(prompt, output + reasoning)
