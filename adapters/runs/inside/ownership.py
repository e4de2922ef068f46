"""Gives a folder and all that is in it to another user, and opens folders without following links.

Only the standard library is imported: this runs as container root. The caller makes sure that nobody
else changes the folder meanwhile.
"""

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path, PurePosixPath

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_below(root: Path, path: str) -> int:
    """Return a descriptor of a folder below another one; no part of the way may be a link.

    Raises:
        OSError: It is not there, or not a folder.
        ValueError: The path leads out of the root.
    """
    current = os.open(root, _FOLDER)
    try:
        for part in _parts(path):
            below = os.open(part, _FOLDER, dir_fd=current)
            os.close(current)
            current = below
    except BaseException:
        os.close(current)
        raise
    return current


def make_below(root: Path, path: str) -> int:
    """Return the same, and make what is missing on the way; it belongs to the owner of the root.

    Raises:
        OSError: It cannot be made.
        ValueError: The path leads out of the root.
    """
    current = os.open(root, _FOLDER)
    owner = os.fstat(current)
    try:
        for part in _parts(path):
            with suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=current)
                os.chown(part, owner.st_uid, owner.st_gid, dir_fd=current, follow_symlinks=False)
            below = os.open(part, _FOLDER, dir_fd=current)
            os.close(current)
            current = below
    except BaseException:
        os.close(current)
        raise
    return current


def give(folder: int, uid: int, gid: int, among: Collection[int]) -> None:
    """Give a folder and all that is in it to a user; links themselves, not what they lead to.

    What belongs to somebody else stays: a hard link could be to a file of root.

    Args:
        folder: Descriptor of the folder; stays open.
        uid: The new owner.
        gid: The new group.
        among: Owners from whom it is taken.

    Raises:
        OSError: Something cannot be given.
    """
    if os.fstat(folder).st_uid in among:
        os.fchown(folder, uid, gid)
    current, waiting = os.dup(folder), list[list[str]]()
    try:
        waiting.append(_give_entries(current, uid, gid, among))
        while waiting:
            if waiting[-1]:
                below = os.open(waiting[-1].pop(), _FOLDER, dir_fd=current)
                os.close(current)
                current = below
                waiting.append(_give_entries(current, uid, gid, among))
                continue
            waiting.pop()
            if waiting:  # one descriptor, however deep the tree is
                above = os.open("..", _FOLDER, dir_fd=current)
                os.close(current)
                current = above
    finally:
        os.close(current)


def _give_entries(folder: int, uid: int, gid: int, among: Collection[int]) -> list[str]:
    """Give what is in one folder; return the names of the folders in it."""
    folders: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.stat(follow_symlinks=False).st_uid in among:
                os.chown(entry.name, uid, gid, dir_fd=folder, follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
    return folders


def _parts(path: str) -> tuple[str, ...]:
    parts = PurePosixPath(path).parts
    if ".." in parts or path.startswith("/") or not parts:
        raise ValueError(f"{path!r} is not a path below the folder")
    return parts
