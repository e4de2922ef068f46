"""Makes the folder in which checks run: a copy of what the agent left, with the task's own files.

Protected files are as the task has them; build products, forbidden files and version control are
left out; the task's checks are copied last, so that nothing can replace them.
"""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from cab.adapters.tasks.loader import COMPILED, Task, copy_file, copy_workspace
from cab.scoring.globs import matches


def lay_out(task: Task, workspace: Path, stage: Path) -> None:
    """Put the folders of a check into `stage`: workspace, pristine, home and tmp.

    Args:
        task: The task.
        workspace: What the agent left behind; it is only read.
        stage: An empty folder.

    Raises:
        OSError: Something cannot be read or written.
    """
    for name in ("home", "tmp"):
        (stage / name).mkdir()
    copy_workspace(task, stage / "pristine")
    copy = stage / "workspace"
    copy.mkdir()
    dropped = [*task.protected_files, *task.forbidden_files, *task.scratch_files]
    for path in workspace_files(workspace):
        if not matches(path, dropped):
            _copy_over(workspace / path, copy, path)
    for path in _files_of_task(task.workspace):
        if matches(path, task.protected_files):
            _copy_over(task.workspace / path, copy, path)
    for path in _files_of_task(task.checks):
        _copy_over(task.checks / path, copy, path)


def fill_in(command: Sequence[str], stage: Path) -> list[str]:
    """Return a command with its placeholders filled in."""
    values = {
        "{python}": sys.executable,
        "{workspace}": str(stage / "workspace"),
        "{pristine}": str(stage / "pristine"),
    }
    return [values.get(word, word) for word in command]


def check_environment(task: Task, stage: Path) -> dict[str, str]:
    """Return the environment of the checks; what the user exported is not in it."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(stage / "home"),
        "TMPDIR": str(stage / "tmp"),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "NO_COLOR": "1",
        **tool_homes(task),
    }


def tool_homes(task: Task) -> dict[str, str]:
    """Return the variables with which the programs that a task needs find their own files.

    They are folders under the operator's HOME, such as RUSTUP_HOME, and hold no secrets.
    """
    folders = {name: path for need in task.needs for name, path in need.home_folders.items()}
    places = {
        name: Path(os.environ.get(name) or Path.home() / folder) for name, folder in folders.items()
    }
    return {name: str(place) for name, place in places.items() if place.is_dir()}


def workspace_files(root: Path) -> Iterator[str]:
    """Yield the files of a workspace without its version control, which no check reads."""
    return (path for path in _files(root) if ".git" not in path.split("/"))


def _files_of_task(root: Path) -> Iterator[str]:
    return (path for path in _files(root) if COMPILED not in path.split("/"))


def _files(root: Path) -> Iterator[str]:
    """Yield regular files and links below `root` as relative paths; links are not followed."""
    for folder, folders, names in os.walk(root):
        base = Path(folder)
        links = [name for name in folders if (base / name).is_symlink()]
        for path in (base / name for name in (*names, *links)):
            if path.is_symlink() or path.is_file():
                yield path.relative_to(root).as_posix()


def _copy_over(source: Path, root: Path, path: str) -> None:
    """Copy a file to `root/path`, never through a link that the agent has made."""
    folder = root
    for part in Path(path).parts[:-1]:
        folder /= part
        if folder.is_symlink() or not folder.is_dir():
            folder.unlink(missing_ok=True)
            folder.mkdir()
    target = root / path
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)
    # A file that the agent made unreadable is missing in the checks, as it is in its own workspace; and
    # a process that the agent left running may remove files.
    with contextlib.suppress(PermissionError, FileNotFoundError):
        copy_file(source, target)
