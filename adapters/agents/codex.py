"""Codex, headless, with its events as JSON lines: a provider of the run's own, one model, Responses.

The built-in provider would try a WebSocket first and call other hosts; a custom provider posts, unless it
is told that the endpoint has WebSockets: `--tui cab.adapters.agents.codex:codex_over_websocket`.
"""

import dataclasses
from typing import Final

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

_NAME: Final = "codex"
_KEY: Final = "CAB_CELL_KEY"
# The features that are off download lists of apps and plug-ins from other hosts. A web search would be
# done by the endpoint, if it has one: no other agent has that.
_CONFIG: Final = """\
model = {model}
model_provider = "cab"
check_for_update_on_startup = false
web_search = "disabled"

[analytics]
enabled = false

[otel]
exporter = "none"

[features]
apps = false
plugins = false
remote_plugin = false

[model_providers.cab]
name = "cab"
base_url = {base_url}
env_key = "{key_variable}"
wire_api = "responses"
"""
# The last table of the configuration is the provider.
_WEBSOCKET: Final = "supports_websockets = true\n"


class Codex:
    """The Codex CLI from npm.

    Args:
        websocket: Whether it calls over a WebSocket and posts only where there is none.
    """

    facts = AgentFacts(
        name=_NAME,
        version="0.169.0",
        dialects=("responses",),
        install=NpmInstall("@openai/codex", "codex"),
        wants_git=True,
        token_report="stdout (JSON events), exact",
        notes=(
            "It gives up at once on a 429 without Retry-After.",
            "Its count leaves out calls that failed, or whose answer was cut.",
        ),
    )

    def __init__(self, *, websocket: bool = False) -> None:
        self._websocket = websocket
        if websocket:
            self.facts = dataclasses.replace(
                self.facts,
                token_report="stdout (JSON events), without the warm-up",
                notes=(*self.facts.notes, "Its count leaves out the warm-up of a WebSocket."),
            )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line, environment and configuration of one prompt."""
        argv = (
            str(run.executable),
            "exec",
            "--json",
            "--dangerously-bypass-approvals-and-sandbox",
            "--skip-git-repo-check",
            "--",
            run.prompt,
        )
        config = _CONFIG.format(
            model=_quoted(run.model),
            base_url=_quoted(run.v1_url),
            key_variable=_KEY,
        )
        config += _WEBSOCKET if self._websocket else ""
        return Launch(argv, {_KEY: run.key}, {".codex/config.toml": config})

    def wire(self, start: UserStart) -> Wiring | None:
        """Return the provider of a run as settings of the command line, which win over the user's file."""
        if "openai" not in start.apis:
            return None
        url, key = start.apis["openai"]
        provider = {
            "name": _quoted("cab"),
            "base_url": _quoted(f"{url}/v1"),
            "env_key": _quoted("OPENAI_API_KEY" if key is None else _KEY),
            "wire_api": _quoted("responses"),
        }
        settings = {
            "model_provider": _quoted("cab"),
            **{f"model_providers.cab.{name}": value for name, value in provider.items()},
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Wiring(tuple(words), {} if key is None else {_KEY: key})

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the usage at the end of the turn in codex's events; None if the turn did not end.

        Raises:
            BadSelfReport: A line cannot be read, a count is not one, or there are several turns.
        """
        turns: list[Object] = []
        # Over a WebSocket it first sends what is the same in all turns, and does not count that.
        exact = not self._websocket
        for event in json_lines(output.stdout, _NAME):
            # A call that was repeated: the usage of the first attempt is lost.
            exact = exact and event.get("type") != "error"
            if event.get("type") == "turn.completed":
                turns.append(member(event, "usage", _NAME))
        if not turns:
            return None
        if len(turns) > 1:
            raise BadSelfReport(
                "codex ended several turns, and does not report how their counts relate"
            )
        return _tokens(turns[0]).report(exact=exact)


def codex_over_websocket() -> Codex:
    """Return the adapter for Codex over a WebSocket; its name, and with it its cells, are the same."""
    return Codex(websocket=True)


def _quoted(text: str) -> str:
    """Return a text as a TOML string: JSON's escapes, and one character that TOML forbids unescaped.

    >>> _quoted("gpt-5")
    '"gpt-5"'
    """
    return orjson.dumps(text).decode().replace("\x7f", "\\u007F")


def _tokens(usage: Object) -> ReportedTokens:
    # The input includes cached tokens, the output includes tokens of reasoning.
    tokens = read_tokens(usage, _NAME, ("input_tokens",), ("output_tokens",)).nonzero(_NAME)
    cached = count(usage, "cached_input_tokens", _NAME)
    reasoning = count(usage, "reasoning_output_tokens", _NAME)
    if cached > tokens.prompt or reasoning > tokens.completion:
        raise BadSelfReport(f"codex's parts are more than the whole: {usage}")
    return tokens
