"""The folders of a run and its git repository."""

import os
import subprocess
from pathlib import Path

import pytest

from cab.adapters.errors import RunFailed
from cab.adapters.runs.workspace import init_git, scratch_places
from cab.adapters.sandboxes.environment import Places, agent_environment, write_home


def prepared(places: Places) -> dict[str, str]:
    """Fill a run's folders and return the agent's environment."""
    places.workdir.mkdir()
    (places.workdir / "lib.py").write_text("x = 1\n")
    write_home(places.home, {})
    return agent_environment(places, {}, {})


def git(places: Places, env: dict[str, str], *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=places.workdir, env=env, check=True, capture_output=True, text=True
    ).stdout


def test_removed_afterwards() -> None:
    """The folders are there during the run and gone afterwards, unreadable ones too."""
    with scratch_places("aider-x_y", keep=False) as places:
        prepared(places)
        (places.workdir / "locked").mkdir(mode=0)
        root = places.home.parent

        assert root.name.startswith("cab-aider-x_y-")
        assert root.stat().st_mode & 0o077 == 0

    assert not root.exists()


def test_kept() -> None:
    """The folders stay if that is asked for."""
    with scratch_places("kept", keep=True) as places:
        root = places.home.parent
    try:
        assert places.home.is_dir()
    finally:
        for folder in (places.home, places.temporary, places.output, root):
            folder.rmdir()


def test_repository_with_one_commit() -> None:
    """The agent finds its files tracked, a clean state, and its own files ignored."""
    with scratch_places("git", keep=False) as places:
        env = prepared(places)

        assert init_git(places.workdir, (".aider*",), env)
        (places.workdir / ".aider.log").write_text("x")

        assert git(places, env, "ls-files") == "lib.py\n"
        assert git(places, env, "status", "--porcelain") == ""
        assert git(places, env, "rev-list", "--count", "HEAD") == "1\n"


def test_same_commit_each_time() -> None:
    """Two runs of a task start from the same commit, whoever runs them and when."""
    heads: list[str] = []
    for _ in range(2):
        with scratch_places("git", keep=False) as places:
            env = prepared(places)
            init_git(places.workdir, (), env)
            heads.append(git(places, env, "rev-parse", "HEAD"))

    assert heads[0] == heads[1]


def test_no_git(tmp_path: Path) -> None:
    """Without git on the PATH the workspace is not a repository, and the run continues."""
    with scratch_places("git", keep=False) as places:
        env = {**prepared(places), "PATH": str(tmp_path)}

        assert not init_git(places.workdir, (), env)
        assert not (places.workdir / ".git").exists()


def test_failing_git(tmp_path: Path) -> None:
    """A git that fails is named with what it said."""
    (tmp_path / "git").write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    (tmp_path / "git").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    with scratch_places("git", keep=False) as places:
        env = {**prepared(places), "PATH": path}

        with pytest.raises(RunFailed, match="git init in the workspace failed: broken"):
            init_git(places.workdir, (), env)
