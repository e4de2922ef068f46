"""Qwen Code, headless, with its events as JSON lines: any of three dialects, one model, no statistics."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

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
    ReportedTokens,
    count,
    json_lines,
    member,
    read_tokens,
)
from cab.adapters.errors import BadSelfReport
from cab.scoring.cells.cell import SelfReport
from cab.scoring.ledger.records import Endpoint

_NAME: Final = "qwen-code"
_AUTH_TYPES: Final[Mapping[Endpoint, str]] = {
    "chat.completions": "openai",
    "responses": "openai-responses",
    "messages": "anthropic",
}
_SETTINGS: dict[str, Any] = {
    "general": {"enableAutoUpdate": False},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
}


class QwenCode:
    """The Qwen Code CLI from npm."""

    facts = AgentFacts(
        name=_NAME,
        version="0.24.4",
        dialects=tuple(_AUTH_TYPES),
        install=NpmInstall("@qwen-code/qwen-code", "qwen", node_min=(22,)),
        token_report="stdout (JSON events), exact",
        notes=("Its count leaves out calls that failed, or whose answer was cut.",),
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line, environment and settings of one prompt."""
        dialect = run.dialect or self.facts.dialects[0]
        argv = (
            str(run.executable),
            *("--auth-type", _AUTH_TYPES[dialect]),
            *("--model", run.model),
            "--yolo",
            *("--output-format", "stream-json"),
            f"--prompt={run.prompt}",
        )
        vendor = "ANTHROPIC" if dialect == "messages" else "OPENAI"
        env = {
            f"{vendor}_API_KEY": run.key,
            f"{vendor}_BASE_URL": run.sdk_url(dialect),
            f"{vendor}_MODEL": run.model,
        }
        settings = {**_SETTINGS, "fastModel": run.model}
        return Launch(argv, env, {".qwen/settings.json": orjson.dumps(settings).decode()})

    def wire(self, start: UserStart) -> Wiring | None:
        """Return the kind of its endpoint, which a login of the user's would decide otherwise."""
        kinds = {"openai": "openai", "anthropic": "anthropic", "google": "gemini"}
        kind = next((kinds[each] for each in kinds if each in start.apis), None)
        return None if kind is None else Wiring(("--auth-type", kind))

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the sums in the last line of Qwen Code's events; None if there is no such line.

        Raises:
            BadSelfReport: A line cannot be read, or the sums do not add up.
        """
        result: Object | None = None
        exact = True
        for event in json_lines(output.stdout, _NAME):
            kind = event.get("type")
            # An answer that broke off and was requested again: the usage of the first one is lost.
            exact = exact and (kind, event.get("subtype")) != ("system", "retry")
            result = event if kind == "result" else result
        if result is None:
            return None
        exact = exact and result.get("is_error") is False
        return _tokens(member(result, "usage", _NAME)).report(exact=exact)


def _tokens(usage: Object) -> ReportedTokens:
    # The input includes cached tokens, the output includes tokens of reasoning.
    tokens = read_tokens(usage, _NAME, ("input_tokens",), ("output_tokens",))
    total = count(usage, "total_tokens", _NAME)
    if tokens.prompt == 0 or sum(tokens) != total:
        raise BadSelfReport(
            f"{_NAME}'s {tokens.prompt} + {tokens.completion} tokens are not its total, {total}"
        )
    return tokens
