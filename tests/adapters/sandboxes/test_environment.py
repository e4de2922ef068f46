"""The environment of an agent."""

from pathlib import Path, PurePosixPath

import pytest

from cab.adapters.sandboxes.environment import (
    Places,
    agent_environment,
    container_environment,
    write_home,
)

CANARY = "sk-canary-0123456789"


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(*(tmp_path / name for name in ("workdir", "home", "tmp", "out")))


def test_nothing_is_inherited(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the operator's shell holds, none of it reaches the agent but the PATH."""
    for name in ("CAB_KEY", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY", "PYTHONPATH"):
        monkeypatch.setenv(name, CANARY)

    env = agent_environment(places, {}, {"AGENT_KEY": "cell"})

    assert CANARY not in " ".join(env.values())
    assert env["AGENT_KEY"] == "cell"
    assert not {"CAB_KEY", "OPENAI_API_KEY", "HTTPS_PROXY", "PYTHONPATH", "USER"} & set(env)


def test_own_folders(places: Places) -> None:
    """HOME and all that goes with it lie in the run's own folder."""
    env = agent_environment(places, {}, {})

    for name in ("HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "TMUX_TMPDIR"):
        assert Path(env[name]).is_relative_to(places.home.parent)


def test_declared_wins(places: Places) -> None:
    """An adapter may set a variable that all agents get otherwise."""
    assert agent_environment(places, {"TERM": "a"}, {"TERM": "xterm"})["TERM"] == "xterm"


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("/a:relative:.::/b", "/a:/b"),
        (".", "/usr/local/bin:/usr/bin:/bin"),
        (None, "/usr/local/bin:/usr/bin:/bin"),
    ],
)
def test_path_is_absolute(
    places: Places, monkeypatch: pytest.MonkeyPatch, given: str | None, seen: str
) -> None:
    """A relative part of the PATH would make the workspace's programs shadow the system's."""
    if given is None:
        monkeypatch.delenv("PATH")
    else:
        monkeypatch.setenv("PATH", given)

    assert agent_environment(places, {}, {})["PATH"] == seen


def test_write_home(tmp_path: Path) -> None:
    """HOME holds a git identity and the files of the launch."""
    write_home(tmp_path, {".agent/config.json": "{}"})

    assert (tmp_path / ".agent" / "config.json").read_text() == "{}"
    assert "email = cab@localhost" in (tmp_path / ".gitconfig").read_text()


def test_in_a_container() -> None:
    """In a container the image's PATH stays, and all folders are the container's own."""
    home, workdir, temporary = map(PurePosixPath, ("/home/agent", "/workspace", "/tmp"))

    env = container_environment(home, workdir, temporary)

    assert "PATH" not in env
    assert (env["HOME"], env["XDG_DATA_HOME"]) == ("/home/agent", "/home/agent/.local/share")
    assert (env["TMPDIR"], env["GIT_CEILING_DIRECTORIES"]) == ("/tmp", "/")
    assert env["TERM"] == "dumb"


def test_terminal(places: Places) -> None:
    """With a terminal an agent may use colours."""
    env = agent_environment(places, {}, {}, terminal=True)

    assert env["TERM"] == "xterm-256color"
    assert "NO_COLOR" not in env
