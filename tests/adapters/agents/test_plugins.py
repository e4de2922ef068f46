"""Plugins of agents."""

from pathlib import Path

import pytest

from cab.adapters.agents.base import Launch
from cab.adapters.agents.plugins import (
    Plugin,
    PluginStack,
    load_plugin,
    load_stack,
    with_plugins,
    write_workspace,
)
from cab.adapters.errors import AdapterError

KEY, URL = "cell-key-0123", "http://127.0.0.1:4000"
LAUNCH = Launch(
    ("agent", "--flag"), {"WHERE": f"{URL}/v1", "WITH": KEY, "PLAIN": "1"}, {"conf": "ours"}
)
FULL = """
schema = "cab.plugin/1"
name = "house-rules"
tui = ["aider"]
arguments = ["--extra", "two words"]
environment = { COLOUR = "red" }
[home]
".agent/rules.md" = "Be brief.\\n"
[workspace]
"AGENTS.md" = { file = "rules/agents.md" }
"""


def write(folder: Path, name: str, text: str) -> Path:
    """Write a plugin."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def plugin(**fields: object) -> Plugin:
    return Plugin.model_validate({"schema": "cab.plugin/1", "name": "p", **fields})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of plugins, with one that has everything."""
    plugins = tmp_path / "plugins"
    write(plugins, "house-rules", FULL)
    (plugins / "rules").mkdir()
    (plugins / "rules" / "agents.md").write_text("Ask first.")
    return plugins


@pytest.mark.parametrize("by_name", [True, False])
def test_complete_plugin(folder: Path, by_name: bool) -> None:
    """A plugin is found by name or by path, and brings its files, variables and arguments."""
    given = "house-rules" if by_name else str(folder / "house-rules.toml")

    stack = load_stack([given], folder, "aider")
    launch = with_plugins(LAUNCH, stack, key=KEY, base_url=URL)

    assert launch.argv == ("agent", "--flag", "--extra", "two words")
    assert launch.env == {**LAUNCH.env, "COLOUR": "red"}
    assert launch.files == {"conf": "ours", ".agent/rules.md": "Be brief.\n"}
    assert stack.workspace == {"AGENTS.md": "Ask first."}
    assert (stack.names, stack.behavior_mode) == (["house-rules"], "plugins")


def test_factory() -> None:
    """Without plugins nothing changes, and the recorded attributes are the published ones."""
    stack = load_stack([], Path("plugins"), "aider")

    assert with_plugins(LAUNCH, stack, key=KEY, base_url=URL) == LAUNCH
    assert (stack.names, stack.behavior_mode) == ([], "factory")
    assert stack.attrs == {
        "count": 0,
        "applied": [],
        "skipped": [],
        "env_keys": [],
        "extra_args": [],
        "applied_count": 0,
        "skipped_count": 0,
    }


def test_for_another_agent(folder: Path) -> None:
    """A plugin for another agent is left out, and recorded as that."""
    stack = load_stack(["house-rules"], folder, "codex")

    assert with_plugins(LAUNCH, stack, key=KEY, base_url=URL) == LAUNCH
    assert (stack.names, stack.behavior_mode) == ([], "factory")
    assert stack.attrs["skipped"] == ["house-rules"]
    assert (stack.attrs["count"], stack.attrs["skipped_count"]) == (1, 1)


def test_later_ones_win() -> None:
    """Of two plugins that set the same, the later one wins; arguments add up."""
    stack = PluginStack(
        (
            plugin(name="a", environment={"X": "1", "Y": "1"}, arguments=["-a"]),
            plugin(name="b", environment={"X": "2"}, arguments=["-b"]),
        )
    )

    assert stack.environment == {"X": "2", "Y": "1"}
    assert stack.attrs["extra_args"] == ["-a", "-b"]
    assert stack.attrs["env_keys"] == ["X", "Y"]


def test_arguments_before_the_prompt() -> None:
    """After `--` there are no arguments: extra ones come before it."""
    launch = Launch(("agent", "run", "--", "the prompt"))

    extended = with_plugins(launch, PluginStack((plugin(arguments=["-x"]),)), key=KEY, base_url=URL)

    assert extended.argv == ("agent", "run", "-x", "--", "the prompt")


@pytest.mark.parametrize("name", ["WHERE", "WITH"])
def test_where_the_calls_go(name: str) -> None:
    """A plugin cannot set the variables that hold the key or the base URL."""
    stack = PluginStack((plugin(environment={name: "other"}),))

    with pytest.raises(AdapterError, match=f"may not set {name}"):
        with_plugins(LAUNCH, stack, key=KEY, base_url=URL)
    plain = with_plugins(
        LAUNCH, PluginStack((plugin(environment={"PLAIN": "2"}),)), key=KEY, base_url=URL
    )
    assert plain.env["PLAIN"] == "2"


@pytest.mark.parametrize(
    "name", ["CAB_KEY", "CAB_ENDPOINT", "OPENAI_BASE_URL", "OPENAI_API_KEY", "https_proxy", "HOME"]
)
def test_well_known_variables(tmp_path: Path, name: str) -> None:
    """Nor may it set a variable that some agent might take a key or a base URL from."""
    path = write(
        tmp_path, "p", f'schema = "cab.plugin/1"\nname = "p"\nenvironment = {{ {name} = "x" }}\n'
    )

    with pytest.raises(AdapterError, match=f"may not set {name}"):
        load_plugin(str(path), tmp_path)


def test_the_adapters_files() -> None:
    """A file that the adapter writes stays as it is: it may say where the calls go."""
    stack = PluginStack((plugin(home={"conf": "theirs"}),))

    with pytest.raises(AdapterError, match="may not replace conf"):
        with_plugins(LAUNCH, stack, key=KEY, base_url=URL)


def test_workspace_files(tmp_path: Path) -> None:
    """Files are put into the workspace, but never in place of the task's own."""
    (tmp_path / "README").write_text("the task's")

    write_workspace(PluginStack((plugin(workspace={"docs/AGENTS.md": "mine"}),)), tmp_path)
    with pytest.raises(AdapterError, match="may not replace README"):
        write_workspace(PluginStack((plugin(workspace={"README": "mine"}),)), tmp_path)

    assert (tmp_path / "docs" / "AGENTS.md").read_text() == "mine"
    assert (tmp_path / "README").read_text() == "the task's"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("schema = ", "is not valid TOML"),
        ('schema = "cab.plugin/2"\nname = "p"', "schema: "),
        ('schema = "cab.plugin/1"\nname = "a b"', "name: "),
        ('schema = "cab.plugin/1"\nname = "p"\nargs = []', "args: is not a key of a plugin"),
        ('schema = "cab.plugin/1"\nname = "p"\n[home]\n"../x" = "y"', "'../x' is outside"),
        ('schema = "cab.plugin/1"\nname = "p"\n[home]\n"/x" = "y"', "'/x' is outside"),
        ('schema = "cab.plugin/1"\nname = "p"\n[home]\nx = {file = "gone"}', "No such file"),
    ],
)
def test_bad_plugin(tmp_path: Path, text: str, reason: str) -> None:
    """A file that is not a valid plugin is named, with what is wrong."""
    path = write(tmp_path, "p", text)

    with pytest.raises(AdapterError, match=reason) as caught:
        load_plugin(str(path), tmp_path)
    assert str(path) in str(caught.value)


def test_unknown_name(folder: Path, tmp_path: Path) -> None:
    """A name that is not in the folder is an error with the one that was probably meant."""
    with pytest.raises(AdapterError, match="did you mean 'house-rules'"):
        load_plugin("house-rule", folder)
    with pytest.raises(AdapterError, match="put it into"):
        load_plugin("house-rules", tmp_path / "none")
    with pytest.raises(AdapterError, match="No such file"):
        load_plugin("./gone.toml", folder)
