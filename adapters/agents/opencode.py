"""opencode, headless, with its events as JSON: any of three dialects, one model for work and titles."""

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
    add_up,
    json_lines,
    member,
    read_tokens,
)
from cab.adapters.errors import AdapterError
from cab.scoring.cells.cell import SelfReport
from cab.scoring.files import is_object
from cab.scoring.ledger.records import Endpoint

_NAME = "opencode"
_VERSION = "1.18.33"
PROVIDER = "cab"
"""Name of the provider in the configuration."""
KEY = "CAB_CELL_KEY"
"""Variable that holds the key."""
NOTES = (
    "Its count leaves out the call that names the session, and those that failed.",
    "Its count of the prompt leaves out what came from a cache; it is added here.",
)
_CONFIG = ".config/opencode"
# The library with which opencode calls an endpoint decides the dialect; all three are built in.
_LIBRARIES: Final[Mapping[Endpoint, str]] = {
    "chat.completions": "@ai-sdk/openai-compatible",
    "responses": "@ai-sdk/openai",
    "messages": "@ai-sdk/anthropic",
}
_PROVIDERS = {"x-ai": "xai"}
"""opencode's names of providers, where they are others than ours."""
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
        notes=NOTES,
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line, environment and configuration of one prompt."""
        library = _LIBRARIES[run.dialect or "chat.completions"]
        config = {"$schema": "https://opencode.ai/config.json", **provider_config(run, library)}
        files = {f"{_CONFIG}/opencode.json": orjson.dumps(config).decode(), **_dependencies()}
        return Launch(command_line(run), {**_QUIET, KEY: run.key}, files)

    def wire(self, start: UserStart) -> Wiring | None:
        """Return a configuration that is merged over the user's; see `wired_config`."""
        variable = "OPENCODE_CONFIG_CONTENT"
        return Wiring(env={variable: wired_config(start, variable)})

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the sum over the steps that it prints."""
        return read_report(output.stdout)


def command_line(run: RunContext) -> tuple[str, ...]:
    """Return the command line of opencode and its relatives for one prompt."""
    return (
        str(run.executable),
        "run",
        *("--model", f"{PROVIDER}/{run.model}"),
        *("--format", "json"),
        "--auto",
        "--",
        run.prompt,
    )


def provider_config(run: RunContext, library: str) -> dict[str, Any]:
    """Return the configuration of opencode and its relatives: one provider, one model.

    Args:
        run: The run.
        library: npm package with which the endpoint is called.
    """
    model = f"{PROVIDER}/{run.model}"
    options = {"baseURL": run.v1_url, "apiKey": f"{{env:{KEY}}}"}
    provider = {
        "npm": library,
        "name": PROVIDER,
        "options": options,
        "models": {run.model: {"name": run.model}},
    }
    return {
        "model": model,
        "small_model": model,
        "provider": {PROVIDER: provider},
        "enabled_providers": [PROVIDER],
        "autoupdate": False,
        "share": "disabled",
    }


def wired_config(start: UserStart, variable: str) -> str:
    """Return the configuration of opencode and its relatives that leads their providers to a meter.

    `--model cab/MODEL` is a model of a provider of ours, for endpoints that opencode does not know.

    Args:
        start: The agent as its user starts it.
        variable: Holds what the user merges in the same way; it is kept.

    Raises:
        AdapterError: It holds no JSON object, or a model has no name.
    """
    providers = dict[str, Any]()
    for name, (url, key) in start.apis.items():
        # The library for Anthropic's API expects the version in the base, and so does that for Google's.
        version = "/v1beta" if name == "google" else "/v1"
        own = {} if key is None else {"apiKey": key}
        providers[_PROVIDERS.get(name, name)] = {"options": {"baseURL": f"{url}{version}", **own}}
    models = start.own_models()
    if models and "openai" in providers:
        library = _LIBRARIES["chat.completions"]
        named = {model: {"name": model} for model in models}
        providers[PROVIDER] = {"npm": library, "models": named, **providers["openai"]}
    config = _user_config(start.environment.get(variable) or "{}", variable)
    merged = {**config.get("provider", {}), **providers}
    return orjson.dumps({**config, "provider": merged}).decode()


def _user_config(text: str, variable: str) -> dict[str, Any]:
    try:
        config: object = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise AdapterError(f"{variable} is not JSON ({error}); fix or unset it") from error
    if not is_object(config):
        raise AdapterError(f"{variable} holds no JSON object; fix or unset it")
    return config


def _dependencies() -> dict[str, str]:
    """Return files that list the library for plug-ins as installed, or opencode would download it."""
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
    parts = (
        read_tokens(tokens, agent, ("input",), ("output", "reasoning")),
        read_tokens(member(tokens, "cache", agent), agent, ("read", "write"), ()),
    )
    return add_up(parts).nonzero(agent)
