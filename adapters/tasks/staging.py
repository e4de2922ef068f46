"""Lays out the folder in which checks run: a copy of what the agent left, with the task's own files.

Protected files are as the task has them; build products, forbidden files and version control are
left behind; what the task lays over comes last, so that nothing can stand in its place.
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
    for path in left_by_agent(workspace):
        if not matches(path, dropped):
            _place(workspace / path, copy, path)
    for path in _files_of_task(task.workspace):
        if matches(path, task.protected_files):
            _place(task.workspace / path, copy, path)
    for path in _files_of_task(task.checks):
        _place(task.checks / path, copy, path)


def words(command: Sequence[str], stage: Path) -> list[str]:
    """Return a command with its places filled in."""
    places = {
        "{python}": sys.executable,
        "{workspace}": str(stage / "workspace"),
        "{pristine}": str(stage / "pristine"),
    }
    return [places.get(word, word) for word in command]


def environment(task: Task, stage: Path) -> dict[str, str]:
    """Return an environment made from nothing: what the user exported is not the task's to see."""
    variables = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(stage / "home"),
        "TMPDIR": str(stage / "tmp"),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "NO_COLOR": "1",
    }
    for need in task.needs:
        for variable, folder in need.home_folders.items():
            path = Path(os.environ.get(variable) or Path.home() / folder)
            if path.is_dir():
                variables[variable] = str(path)
    return variables


def left_by_agent(root: Path) -> Iterator[str]:
    """Yield the files of a workspace; not its version control, which no check looks at."""
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


def _place(source: Path, root: Path, path: str) -> None:
    """Copy a file to `root/path`, never through a link that an agent has put in the way."""
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
    # What the agent made unreadable, the checks miss as they would have in its own workspace; and
    # a process that it left running may still be at work there.
    with contextlib.suppress(PermissionError, FileNotFoundError):
        copy_file(source, target)
