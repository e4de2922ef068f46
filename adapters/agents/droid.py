"""Factory's Droid, headless, with a custom model; it is offline, so its account key is not used."""

from typing import Final

import orjson

from cab.adapters.agents.base import (
    OWN_MODELS,
    AgentFacts,
    Launch,
    NpmInstall,
    Output,
    RunContext,
    UserStart,
    Wiring,
)
from cab.adapters.agents.usage_reports import json_lines, member, read_tokens
from cab.adapters.errors import AdapterError
from cab.scoring.cells.cell import SelfReport

_NAME: Final = "droid"
_KEY: Final = "CAB_CELL_KEY"
_QUESTIONS: Final = frozenset(("--help", "-h", "--version", "-v"))
"""No model is called where one of them is given."""
_RUNTIME_SETTINGS: Final = "FACTORY_RUNTIME_SETTINGS_PATH"
_CHAT: Final = "generic-chat-completion-api"


class Droid:
    """The Droid CLI from npm."""

    facts = AgentFacts(
        name=_NAME,
        version="0.215.0",
        dialects=("chat.completions",),
        install=NpmInstall("droid", "droid"),
        token_report="stdout (JSON), exact",
        notes=(
            "The cell's key is in its settings below HOME: it does not read it from anywhere else.",
            "Its count of the prompt leaves out what came from a cache; it is added here.",
        ),
    )

    def launch(self, run: RunContext) -> Launch:
        """Return the command line, environment and settings of one prompt."""
        model = {
            "displayName": "cab",
            "model": run.model,
            "baseUrl": run.v1_url,
            "apiKey": run.key,
            "provider": _CHAT,
        }
        argv = (
            str(run.executable),
            "exec",
            *("--model", "custom:cab-0"),
            "--skip-permissions-unsafe",
            *("--output-format", "json"),
            "--",
            run.prompt,
        )
        env = {
            "FACTORY_API_KEY": "none",
            "FACTORY_AIRGAP_ENABLED": "1",
            "FACTORY_DROID_AUTO_UPDATE_ENABLED": "false",
            "FACTORY_OTEL_ENABLED": "false",
        }
        settings = {"customModels": [model], "cloudSessionSync": False}
        return Launch(argv, env, {".factory/settings.json": orjson.dumps(settings).decode()})

    def wire(self, start: UserStart) -> Wiring | None:
        """Return settings for this process alone, in which each `--model cab/MODEL` is a model of ours.

        Raises:
            AdapterError: No argument names such a model, or the user merges settings in the same way.
        """
        name = next((each for each in ("openai", "anthropic") if each in start.apis), None)
        if name is None:
            return None
        if not _QUESTIONS.isdisjoint(start.arguments):
            return Wiring()
        named = start.own_models()
        if not named:
            raise AdapterError(
                "droid calls Factory, or the endpoints in its settings; --model cab/MODEL, with a model of "
                "your endpoint, has it call that: cab meter -- droid exec --model cab/gpt-5 'fix the tests'"
            )
        if _RUNTIME_SETTINGS in start.environment or any(
            word.partition("=")[0] == "--settings" for word in start.arguments
        ):
            raise AdapterError(
                f"droid takes one file of settings for a process, which cab meter needs; "
                f"leave out --settings and {_RUNTIME_SETTINGS}"
            )
        url, key = start.apis[name]
        own_key = "OPENAI_API_KEY" if name == "openai" else "ANTHROPIC_API_KEY"
        models = [_user_model(each, name, url, own_key if key is None else _KEY) for each in named]
        file = "droid-settings.json"
        text = orjson.dumps({"customModels": models}).decode()
        env = {_RUNTIME_SETTINGS: str(start.folder / file), **({} if key is None else {_KEY: key})}
        return Wiring(env=env, files={file: text})

    def self_report(self, output: Output) -> SelfReport | None:
        """Return the usage in the last object that Droid prints; None if there is none.

        Raises:
            BadSelfReport: A line cannot be read, or a count is not one.
        """
        results = [event for event in json_lines(output.stdout, _NAME) if "usage" in event]
        if not results:
            return None
        usage = member(results[-1], "usage", _NAME)
        sent = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        return read_tokens(usage, _NAME, sent, ("output_tokens",)).nonzero(_NAME).report()


def _user_model(model: str, api: str, url: str, key_variable: str) -> dict[str, str]:
    is_openai = api == "openai"
    return {
        "id": f"custom:{OWN_MODELS}{model}",
        "displayName": f"{OWN_MODELS}{model}",
        "model": model,
        "baseUrl": f"{url}/v1" if is_openai else url,
        "provider": _CHAT if is_openai else "anthropic",
        # Droid replaces the name of a variable by its value, so that the key is not in a file.
        "apiKey": f"${{{key_variable}}}",
    }
