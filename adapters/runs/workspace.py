"""The folders of one run, and the git repository that some agents expect to find."""

import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import which

from cab.adapters.errors import RunFailed
from cab.adapters.processes.scratch import scratch_folder
from cab.adapters.sandboxes.environment import Places

GIT_S = 300.0
"""Time for one command of git; a file system that never answers ends it."""
_START = "2000-01-01T00:00:00Z"  # the same commit for every run of a task


@contextmanager
def scratch_places(name: str, keep: bool) -> Generator[Places]:
    """Make the folders of a run, and remove them afterwards.

    Args:
        name: Part of the folder's name.
        keep: Do not remove them.
    """
    with scratch_folder(name, keep=keep) as root:
        yield _make_places(root)


def _make_places(root: Path) -> Places:
    places = Places(root / "workdir", root / "home", root / "tmp", root / "out")
    for folder in (places.home, places.temporary, places.output):
        folder.mkdir()
    return places


def init_git(workdir: Path, ignored: Sequence[str], env: Mapping[str, str]) -> bool:
    """Make a workspace a git repository with one commit; return False without git.

    Agents look at tracked files only. The agent's own files are ignored by `.git/info/exclude`: some
    agents would otherwise write a .gitignore into the workspace.

    Args:
        workdir: The workspace.
        ignored: Patterns of the agent's own files.
        env: The agent's environment.

    Raises:
        RunFailed: git fails.
    """
    if which("git", path=env["PATH"]) is None:
        return False
    dated = {**env, "GIT_AUTHOR_DATE": _START, "GIT_COMMITTER_DATE": _START}
    _git(workdir, dated, "init", "--quiet")
    (workdir / ".git" / "info").mkdir(exist_ok=True)
    (workdir / ".git" / "info" / "exclude").write_text("".join(f"{line}\n" for line in ignored))
    _git(workdir, dated, "add", "--all")
    _git(workdir, dated, "commit", "--quiet", "--allow-empty", "--message", "Start of the task")
    return True


def _git(workdir: Path, env: Mapping[str, str], *arguments: str) -> None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=workdir,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=GIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RunFailed(
            f"git {arguments[0]} in the workspace did not end within {GIT_S:g} s"
        ) from error
    if done.returncode:
        raise RunFailed(f"git {arguments[0]} in the workspace failed: {done.stderr.strip()}")
