"""What agents get that need more than the usual variables, and which programs are agents."""

import json
from pathlib import Path

import pytest

from cab.adapters.agents.base import ApiAddress, NpmInstall, PyPIInstall, UserStart, Wired, Wiring
from cab.adapters.agents.registry import ADAPTERS, PROGRAMS, load_adapter
from cab.adapters.errors import AdapterError

OPENAI, ANTHROPIC = ApiAddress("http://127.0.0.1:1", "k1"), ApiAddress("http://127.0.0.1:2", "k2")
FOLDER = Path("folder")
APIS = {"openai": OPENAI, "anthropic": ANTHROPIC}


def wired(name: str, *arguments: str, **environment: str) -> Wiring | None:
    """Return what an agent gets."""
    adapter = load_adapter(name)
    assert isinstance(adapter, Wired)
    return adapter.wire(UserStart(APIS, arguments, environment, FOLDER))


def test_programs() -> None:
    """Each installed program leads to its adapter, and none to another one."""
    found: dict[str, str] = {}
    for name in ADAPTERS:
        install = load_adapter(name).facts.install
        if isinstance(install, PyPIInstall | NpmInstall):
            found[install.executable] = name
    assert found == PROGRAMS


def test_codex() -> None:
    """codex gets a provider of its own by arguments; the key is in a variable, and in no argument."""
    wiring = wired("codex", "exec", "hello")
    assert wiring is not None
    assert 'model_providers.cab.base_url="http://127.0.0.1:1/v1"' in wiring.arguments
    assert not any("k1" in word for word in wiring.arguments)
    assert wiring.env == {"CAB_CELL_KEY": "k1"}


def test_claude() -> None:
    """Claude Code gets a token, as it would ask whether a new API key may be used."""
    wiring = wired("claude-code")
    assert wiring is not None
    assert wiring.env == {"ANTHROPIC_AUTH_TOKEN": "k2", "ANTHROPIC_API_KEY": None}


@pytest.mark.parametrize("name", ["opencode", "kilo"])
def test_opencode(name: str) -> None:
    """Its providers are led to the proxies, over what the user merges; `cab/MODEL` is a model of ours."""
    variable = f"{name.upper()}_CONFIG_CONTENT"
    own = {"theme": "x", "provider": {"mine": {"npm": "y"}}}
    wiring = wired(name, "run", "-m", "cab/gpt-5", "hello", **{variable: json.dumps(own)})
    assert wiring is not None
    config = json.loads(wiring.env[variable] or "")
    assert config["theme"] == "x"
    assert set(config["provider"]) == {"mine", "openai", "anthropic", "cab"}
    assert config["provider"]["anthropic"]["options"] == {
        "baseURL": "http://127.0.0.1:2/v1",
        "apiKey": "k2",
    }
    assert config["provider"]["cab"]["models"] == {"gpt-5": {"name": "gpt-5"}}
    with pytest.raises(AdapterError, match=f"{variable} is not JSON"):
        wired(name, **{variable: "{"})


def test_pi() -> None:
    """Its providers are led to the proxies by an extension; its subcommands, which stand first, are left alone."""
    wiring = wired("pi", "--model", "cab/gpt-5", "-p", "hello")
    assert wiring is not None
    [(name, code)] = wiring.files.items()
    assert wiring.arguments == ("--extension", str(FOLDER / name))
    providers = json.loads(code.partition("const providers = ")[2].partition(";\n")[0])
    assert providers["anthropic"] == {
        "baseUrl": "http://127.0.0.1:2",
        "apiKey": "CAB_CELL_KEY_ANTHROPIC",
    }
    key = {"apiKey": "CAB_CELL_KEY_OPENAI"}
    assert providers["openai"] == {"baseUrl": "http://127.0.0.1:1/v1", **key}
    assert providers["cab"].items() >= providers["openai"].items()
    assert wiring.env == {"CAB_CELL_KEY_OPENAI": "k1", "CAB_CELL_KEY_ANTHROPIC": "k2"}
    assert [each["id"] for each in providers["cab"]["models"]] == ["gpt-5"]
    assert wired("pi", "install", "npm:x") == Wiring()


def test_droid() -> None:
    """It gets models of its own by a file of settings without a key; where none is named it is not started."""
    wiring = wired("droid", "exec", "-m", "cab/gpt-5", "hello")
    assert wiring is not None
    [(name, text)] = wiring.files.items()
    assert wiring.env == {
        "FACTORY_RUNTIME_SETTINGS_PATH": str(FOLDER / name),
        "CAB_CELL_KEY": "k1",
    }
    [model] = json.loads(text)["customModels"]
    assert (model["id"], model["model"]) == ("custom:cab/gpt-5", "gpt-5")
    assert (model["baseUrl"], model["apiKey"]) == ("http://127.0.0.1:1/v1", "${CAB_CELL_KEY}")
    assert wired("droid", "exec", "--model=cab/gpt-5") == wiring
    assert wired("droid", "--version") == Wiring()
    for words in (("-m", "gpt-5", "hello"), ("cab/x.py is broken",)):
        with pytest.raises(AdapterError, match="--model cab/MODEL"):
            wired("droid", "exec", *words)
    for more, variables in (("--settings=x", {}), ("", {"FACTORY_RUNTIME_SETTINGS_PATH": "x"})):
        with pytest.raises(AdapterError, match="leave out --settings"):
            wired("droid", "exec", "-m", "cab/gpt-5", more, **variables)


@pytest.mark.parametrize("name", ["droid", "kilo", "opencode", "pi"])
def test_a_model_whose_name_is_not_text(name: str) -> None:
    """It cannot stand in a file or a variable of JSON: one line says so."""
    with pytest.raises(AdapterError, match=r"--model: .* has to be UTF-8"):
        wired(name, "--model", "cab/\udcff")


def test_others() -> None:
    """Agents with variables or arguments of their own get those."""
    for name, variable in (("copilot", "COPILOT_PROVIDER_API_KEY"), ("openhands", "LLM_API_KEY")):
        wiring = wired(name)
        assert wiring is not None
        assert wiring.env[variable] == "k1"
    wiring = wired("qwen-code")
    assert wiring is not None
    assert wiring.arguments == ("--auth-type", "openai")


def test_keys_of_its_own() -> None:
    """An agent that keeps its keys is given an address alone."""
    for name in ("claude-code", "codex", "opencode", "copilot", "openhands", "pi", "droid"):
        adapter = load_adapter(name)
        assert isinstance(adapter, Wired)
        apis = {key: ApiAddress(each.url, None) for key, each in APIS.items()}
        wiring = adapter.wire(UserStart(apis, ("--model", "cab/x"), {}, FOLDER))
        assert wiring is not None
        assert not any("key" in (value or "").lower() for value in wiring.env.values())
        assert set(wiring.env.values()).isdisjoint({"k1", "k2"})


def test_no_api_for_it() -> None:
    """An agent whose provider has no endpoint gets nothing: it would call past the meter."""
    for name in ("claude-code", "codex", "openhands", "qwen-code"):
        adapter = load_adapter(name)
        assert isinstance(adapter, Wired)
        assert adapter.wire(UserStart({"mistral": OPENAI}, (), {}, FOLDER)) is None
