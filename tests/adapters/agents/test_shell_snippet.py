"""An agent's launch as a bash snippet: pasted, it does what the runner would do."""

import os
import subprocess
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.adapters.agents.base import Launch, RunContext
from cab.adapters.agents.shell_snippet import (
    BASE_URL,
    HOME,
    KEY,
    MODEL,
    shell_snippet,
    with_variables,
)
from tests.adapters.stubagent import run_pasted, write_stub

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=30)


def launch_of(text: str, name: str = "agent") -> Launch:
    """Return a launch that has a text everywhere a text can be, beside key, HOME and model."""
    mixed = f"{text}{KEY}'{text}\"{HOME}/x {MODEL}"
    return Launch(
        (name, text, mixed), {"PLAIN": text, "MIXED": mixed}, {"a b/$c/file": mixed, "top": text}
    )


@settings(max_examples=25, deadline=None)
@given(text=TEXTS)
def test_the_shell_evaluates_nothing(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Prompts, files and variables arrive unchanged, with the key in its places."""
    folder = tmp_path_factory.mktemp("paste")
    write_stub(folder, "agent")
    seen = run_pasted(
        shell_snippet(launch_of(text)), folder, {"CAB_KEY": "sk 'key'", "CAB_MODEL": "m/$x"}
    )

    mixed = f"{text}sk 'key''{text}\"{seen.home}/x m/$x"
    assert seen.argv == [text, mixed]
    assert (seen.env["PLAIN"], seen.env["MIXED"]) == (text, mixed)
    assert {name: content.rstrip("\n") for name, content in seen.files.items()} == {
        "a b/$c/file": mixed.rstrip("\n"),
        "top": text.rstrip("\n"),
    }


def test_workdir(tmp_path: Path) -> None:
    """With a folder to work in, an agent that makes a repository makes it there, or where the user says."""
    snippet = shell_snippet(Launch(("sh", "-c", "pwd; git init -q")), workdir=True)
    for variables, work in (({}, "work"), ({"AGENT_WORKDIR": str(tmp_path / "mine")}, "../mine")):
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "here").mkdir(exist_ok=True)
        home = tmp_path / "home"
        env = {"PATH": os.environ["PATH"], "AGENT_HOME": str(home), **variables}
        subprocess.run(["bash", "-c", snippet], cwd=tmp_path / "here", env=env, check=True)
        assert (home / work / ".git").is_dir()
        assert list((tmp_path / "here").iterdir()) == []


def test_end_mark_in_a_file(tmp_path: Path) -> None:
    """A file that holds the end of a here document does not end it."""
    write_stub(tmp_path, "agent")
    launch = Launch(("agent",), {}, {"f": "EOF\nEOF_\ntouch pwned\n"})

    assert run_pasted(shell_snippet(launch), tmp_path, {}).files == {
        "f": "EOF\nEOF_\ntouch pwned\n"
    }


@pytest.mark.parametrize(
    "given_as", ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"]
)
def test_endpoint_by_variable(tmp_path: Path, given_as: str) -> None:
    """An endpoint that is not given is taken from CAB_ENDPOINT, in each of its forms."""
    write_stub(tmp_path, "agent")
    launch = Launch(("agent", f"{BASE_URL}/v1"))

    assert run_pasted(shell_snippet(launch), tmp_path, {"CAB_ENDPOINT": given_as}).argv == [
        "http://h:1/v1"
    ]


@pytest.mark.parametrize(
    ("placeholder", "said"),
    [(KEY, "set CAB_KEY"), (BASE_URL, "set CAB_ENDPOINT"), (MODEL, "CAB_MODEL")],
)
def test_variable_that_is_missing(tmp_path: Path, placeholder: str, said: str) -> None:
    """A variable that is not set is named, and nothing is started."""
    write_stub(tmp_path, "agent")
    done = subprocess.run(
        ["bash", "-c", shell_snippet(Launch(("agent", placeholder)))],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert said in done.stderr
    assert not (tmp_path / "seen.json").exists()


def test_only_what_is_needed() -> None:
    """A variable that the agent does not need is not asked for."""
    text = shell_snippet(Launch(("agent", "x")))

    assert "CAB_" not in text
    assert "BASE_URL" not in text


def test_own_home(tmp_path: Path) -> None:
    """AGENT_HOME sets the HOME; that of the shell does not change."""
    write_stub(tmp_path, "agent")
    launch = Launch(("agent",), {}, {"f": "x"})
    text = f'{shell_snippet(launch)}\necho "after $HOME"'
    done = subprocess.run(
        ["bash", "-c", text],
        env={
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "HOME": "/mine",
            "XDG_CONFIG_HOME": "/mine/config",
            "AGENT_HOME": str(tmp_path / "own"),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "after /mine\n"
    assert (tmp_path / "own" / "f").read_text() == "x\n"
    assert "XDG_CONFIG_HOME" not in orjson.loads((tmp_path / "seen.json").read_bytes())["env"]


@pytest.mark.parametrize(
    "name", ["CODEX_HOME", "CLAUDE_CONFIG_DIR", "COPILOT_HOME", "OPENCODE_CONFIG", "XDG_DATA_HOME"]
)
def test_settings_of_the_user(tmp_path: Path, name: str) -> None:
    """A variable that points to other settings does not reach the agent, unless the launch sets it."""
    write_stub(tmp_path, "agent")
    mine = {name: "/mine"}

    assert name not in run_pasted(shell_snippet(Launch(("agent",))), tmp_path, mine).env
    launch = Launch(("agent",), {name: f"{HOME}/own"})
    seen = run_pasted(shell_snippet(launch), tmp_path, mine)
    assert seen.env[name] == f"{seen.home}/own"


def test_with_variables() -> None:
    """In JSON the placeholders are written as the variables' names."""
    assert with_variables(f"{HOME}/x: {KEY} {BASE_URL}/v1 {MODEL}") == (
        "$HOME/x: $CAB_KEY $BASE_URL/v1 $CAB_MODEL"
    )


def test_key_is_never_shown() -> None:
    """A run with placeholders shows no key either."""
    run = RunContext("u", KEY, "m", "p", Path(HOME), Path("x"))

    assert KEY not in repr(run)
