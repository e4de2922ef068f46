"""pi, headless: any of its three dialects, one model, no traffic at start-up.

Its own count is read from its session file. Its events on stdout hold the same counts, but repeat the
whole answer for each piece that arrives, which makes gigabytes of long answers.
"""

from collections.abc import Iterable, Mapping
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
from cab.adapters.agents.session_files import session_lines
from cab.adapters.agents.usage_reports import (
    SESSION,
    Object,
    ReportedTokens,
    add_up,
    member,
    read_tokens,
)
from cab.scoring.cells.cell import SelfReport
from cab.scoring.ledger.records import Endpoint

_NAME = "pi"
_PROVIDER = "cab"
_KEY = "CAB_CELL_KEY"
_APIS: Final[Mapping[Endpoint, str]] = {
    "chat.completions": "openai-completions",
    "responses": "openai-responses",
    "messages": "anthropic-messages",
}
_SUBCOMMANDS: Final = frozenset(("config", "install", "list", "remove", "uninstall", "update"))
_NAMES: Final = {"x-ai": "xai"}
"""Its names of providers, where they are others than ours."""
_VERSIONS: Final = {"anthropic": "", "mistral": "", "google": "/v1beta"}
"""What its base URLs end with, where that is not /v1."""
_MODEL: Final = {
    "reasoning": False,
    "input": ["text"],
    "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
    "contextWindow": 128_000,
    "maxTokens": 16_384,
}
"""What it asks for of a model that it does not know."""
_EXTENSION_FILE: Final = "pi-extension.js"
_EXTENSION: Final = """\
const providers = %s;
export default function (pi) {
  for (const [name, config] of Object.entries(providers)) pi.registerProvider(name, config);
  // A key or a login that the user has stored would win over a provider's key.
  pi.on("session_start", (_event, { modelRegistry }) => {
    for (const [name, { apiKey }] of Object.entries(providers))
      if (apiKey && process.env[apiKey])
        modelRegistry.authStorage.setRuntimeApiKey(name, process.env[apiKey]);
  });
}
"""
_SESSIONS = ".pi/agent/sessions/*/*.jsonl"
_FAILED = frozenset(("error", "aborted"))


class Pi:
    """The pi coding agent from npm."""

    facts = AgentFacts(
        name=_NAME,
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
            *("--provider", _PROVIDER),
            *("--model", run.model),
            *("--print", _as_message(run.prompt)),
        )
        env = {_KEY: run.key, "PI_OFFLINE": "1", "PI_TELEMETRY": "0", "PI_SKIP_VERSION_CHECK": "1"}
        models = orjson.dumps({"providers": {_PROVIDER: _provider(run, dialect)}}).decode()
        return Launch(argv, env, {".pi/agent/models.json": models})

    def wire(self, start: UserStart) -> Wiring | None:
        """Return an extension that leads its providers to the proxies, and a provider `cab` for any model."""
        if start.arguments[:1] and start.arguments[0] in _SUBCOMMANDS:
            return Wiring()  # behind an option it would be a prompt
        providers, env = dict[str, dict[str, Any]](), dict[str, str | None]()
        for name, (url, key) in start.apis.items():
            provider = providers[_NAMES.get(name, name)] = {
                "baseUrl": f"{url}{_VERSIONS.get(name, '/v1')}"
            }
            if key is not None:  # by a variable, so that it is not in a file
                provider["apiKey"] = f"CAB_CELL_KEY_{name.replace('-', '_').upper()}"
                env[provider["apiKey"]] = key
        models = [{**_MODEL, "id": each, "name": each} for each in start.own_models()]
        if models and "openai" in providers:
            own = {"api": _APIS["chat.completions"], "models": models}
            providers[_PROVIDER] = {"apiKey": "OPENAI_API_KEY", **providers["openai"], **own}
        code = _EXTENSION % orjson.dumps(providers).decode()
        words = ("--extension", str(start.folder / _EXTENSION_FILE))
        return Wiring(words, env, {_EXTENSION_FILE: code})

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the sum over the answers in the session."""
        return read_report(session_lines(output.home, _SESSIONS, _NAME))


def _provider(run: RunContext, dialect: Endpoint) -> dict[str, Any]:
    # pi replaces the name of a variable by its value, so that the key is not in a file.
    return {
        "baseUrl": run.sdk_url(dialect),
        "api": _APIS[dialect],
        "apiKey": _KEY,
        "models": [{"id": run.model}],
    }


def _as_message(prompt: str) -> str:
    # There is no `--`: a prompt that starts like an option or a file reference would be read as one.
    return f" {prompt}" if prompt.startswith(("-", "@")) else prompt


def read_report(entries: Iterable[Object]) -> SelfReport | None:
    """Return the sum over all answers in a session; None if there are none.

    Args:
        entries: The session's lines.

    Raises:
        BadSelfReport: An entry cannot be read, or an answer has no count.
    """
    parts: list[ReportedTokens] = []
    exact = True
    for entry in entries:
        # The usage of a summary of the conversation is not in the file.
        exact = exact and entry.get("type") != "compaction"
        if entry.get("type") != "message":
            continue
        message = member(entry, "message", _NAME)
        if message.get("role") == "assistant":
            parts.append(_tokens(message))
            exact = exact and not _failed(message)
    total = add_up(parts)
    # There are only failures: pi writes 0 where the endpoint gave no count.
    return total.report(source=SESSION, exact=exact) if total.prompt else None


def _tokens(message: Object) -> ReportedTokens:
    usage = member(message, "usage", _NAME)
    tokens = read_tokens(usage, _NAME, ("input", "cacheRead", "cacheWrite"), ("output",))
    return tokens if _failed(message) else tokens.nonzero(_NAME)


def _failed(message: Object) -> bool:
    # Such an answer may have been charged; its count is 0 or that of the part that arrived.
    return message.get("stopReason") in _FAILED
