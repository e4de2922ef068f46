"""Makes the folder in which checks run: a copy of what the agent left, with the task's own files.

Protected files are as the task has them; build products, forbidden files and version control are
left out; the task's checks are copied last, so that nothing can replace them.
"""

import errno
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from threading import Event
from typing import NamedTuple

from cab.adapters.processes.search_path import absolute_parts
from cab.adapters.tasks.loader import COMPILED, Need, Task, copy_file, copy_workspace
from cab.adapters.workspaces.bounds import BOUNDS, WorkspaceBounds
from cab.adapters.workspaces.folders import FolderId
from cab.adapters.workspaces.removal import remove_tree
from cab.adapters.workspaces.tree import is_git
from cab.adapters.workspaces.walk import Unread, WalkedEntry, WorkspaceWalk
from cab.scoring.evidence.globs import matches

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


def lay_out(  # noqa: PLR0913 - three places, and how one of them is looked at
    task: Task,
    workspace: Path,
    stage: Path,
    *,
    same: FolderId | None = None,
    bounds: WorkspaceBounds = BOUNDS,
    stop: Event | None = None,
) -> str | None:
    """Put the folders of a check into `stage`: workspace, pristine, home and tmp.

    What cannot be copied is missing in the checks, as the manifest says.

    Args:
        task: The task.
        workspace: What the agent left behind; it is only read.
        stage: An empty folder.
        same: Which folder the workspace must be; None takes what is there.
        bounds: What is copied.
        stop: Ends the work when it is set.

    Returns:
        Why not all of it could be looked at, for which the agent answers; None if it was.

    Raises:
        OSError: A file of the task cannot be read, or nothing can be written.
        WalkStopped: `stop` was set.
    """
    for name in ("home", "tmp"):
        (stage / name).mkdir()
    copy_workspace(task, stage / "pristine")
    copy = stage / "workspace"
    copy.mkdir()
    unchecked = _copy_left(task, _Left(workspace, same, bounds, stop), copy)
    if unchecked is not None:
        return unchecked
    for path in _files_of_task(task.workspace):
        if matches(path, task.protected_files):
            _copy_over(task.workspace / path, copy, path)
    for path in _files_of_task(task.checks):
        _copy_over(task.checks / path, copy, path)
    return None


def left_bytes(workspace: Path, *, same: FolderId | None = None, stop: Event | None = None) -> int:
    """Return the bytes of the files in what an agent left behind.

    Args:
        workspace: What the agent left behind; it is only read.
        same: Which folder the workspace must be; None takes what is there.
        stop: Ends the work when it is set.

    Raises:
        WalkStopped: `stop` was set.
    """
    with WorkspaceWalk(workspace, same=same, stop=stop) as walk:
        return sum(found.facts.st_size for found in walk if found.is_file)


class _Left(NamedTuple):
    """What the agent left behind, and how it is looked at."""

    root: Path
    same: FolderId | None
    bounds: WorkspaceBounds
    stop: Event | None


def _copy_left(task: Task, left: _Left, copy: Path) -> str | None:
    """Copy what the agent left; return why not all of it could be looked at."""
    dropped = [*task.protected_files, *task.forbidden_files, *task.scratch_files]
    whole = [pattern.removesuffix("/**") for pattern in dropped if pattern.endswith("/**")]

    def left_out(path: str) -> bool:
        return is_git(path) or matches(path, whole)

    with WorkspaceWalk(
        left.root, same=left.same, bounds=left.bounds, stop=left.stop, left_out=left_out
    ) as walk:
        copier = _Copier(walk, copy)
        for found in walk:
            if not (found.is_folder or is_git(found.path) or matches(found.path, dropped)):
                copier.copy(found)
    return walk.cut_short


def fill_in(command: Sequence[str], stage: PurePath, python: str = sys.executable) -> list[str]:
    """Return a command with its placeholders filled in.

    Args:
        command: As the task has it.
        stage: The folder that `lay_out` has filled, as the command sees it.
        python: The Python that it sees.
    """
    values = {
        "{python}": python,
        "{workspace}": str(stage / "workspace"),
        "{pristine}": str(stage / "pristine"),
    }
    return [values.get(word, word) for word in command]


def check_environment(task: Task, stage: Path) -> dict[str, str]:
    """Return the environment of the checks; what the user exported is not in it."""
    return {
        "PATH": absolute_parts(os.environ.get("PATH", os.defpath)),
        **common_environment(stage),
        **tool_homes(task),
    }


def common_environment(stage: PurePath) -> dict[str, str]:
    """Return the part of it that is the same on this machine and in a container."""
    return {
        "HOME": str(stage / "home"),
        "TMPDIR": str(stage / "tmp"),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "NO_COLOR": "1",
    }


def tool_homes(task: Task) -> dict[str, str]:
    """Return the variables with which the programs that a task needs find their own files.

    They are folders under the operator's HOME, such as RUSTUP_HOME, and hold no secrets.
    """
    return homes_of(task.needs)


def homes_of(needs: Iterable[Need]) -> dict[str, str]:
    """Return the same for some programs."""
    folders = {name: path for need in needs for name, path in need.home_folders.items()}
    places = {
        name: Path(os.environ.get(name) or Path.home() / folder) for name, folder in folders.items()
    }
    return {name: str(place) for name, place in places.items() if place.is_dir()}


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


class _Copier:
    """Copies what a pass over the agent's workspace finds into a new folder."""

    def __init__(self, walk: WorkspaceWalk, root: Path) -> None:
        self._walk = walk
        self._root = root
        self._made: set[str] = {""}

    def copy(self, found: WalkedEntry) -> None:
        """Copy a file or link; what cannot be copied is recorded by the walk.

        Raises:
            OSError: Nothing can be written.
        """
        try:
            self._make_folders(found.path.rpartition("/")[0])
            if found.is_link:
                (self._root / found.path).symlink_to(found.target())
            else:
                self._copy_content(found)
        except Unread:
            return
        except OSError as error:
            # The copy's path is longer than the original's.
            if error.errno not in {errno.ENAMETOOLONG, errno.ENOENT, errno.EINVAL}:
                raise

    def _make_folders(self, path: str) -> None:
        missing: list[str] = []
        while path not in self._made:
            missing.append(path)
            path = path.rpartition("/")[0]
        for each in reversed(missing):
            (self._root / each).mkdir()
            self._made.add(each)

    def _copy_content(self, found: WalkedEntry) -> None:
        pieces = self._walk.pieces(found)
        first = next(pieces, b"")  # nothing is made for a file that cannot be read
        target = self._root / found.path
        mode = 0o755 if found.facts.st_mode & stat.S_IXUSR else 0o644
        with os.fdopen(os.open(target, _NEW, mode), "wb") as handle:
            try:
                handle.write(first)
                handle.writelines(pieces)
            except Unread:
                target.unlink()
                raise


def _copy_over(source: Path, root: Path, path: str) -> None:
    """Copy a file of the task to `root/path`, never through a link that the agent has made."""
    folder = root
    for part in Path(path).parts[:-1]:
        folder /= part
        if folder.is_symlink() or not folder.is_dir():
            folder.unlink(missing_ok=True)
            folder.mkdir()
    target = root / path
    if target.is_dir() and not target.is_symlink():
        remove_tree(target)
    target.unlink(missing_ok=True)
    copy_file(source, target)
