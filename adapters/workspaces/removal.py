"""Removes the folder of a run, whatever an agent left in it: deep, huge, or without permissions.

python -I -S removal.py FOLDER
"""

import fcntl
import os
import stat
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path

AT_ONCE_S = 1.0
"""Processor time of a removal that holds up the run; a process of its own does the rest."""

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_AT_ONCE = 10_000  # names in memory
_RWX = 0o700
_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602
"""Of `ioctl`, as `lsattr` and `chattr` use it; where a file system or a kernel has no flags it fails."""
_FIXED = 0x10 | 0x20
"""Flags of what is immutable, or may only grow."""


def remove_soon(folder: Path) -> None:
    """Remove a folder and all that is in it; what takes long goes on after this has returned."""
    if remove_tree(folder, AT_ONCE_S):
        return
    # Not waited for: whoever ends a run does not wait for a million files.
    words = [sys.executable, "-I", "-S", __file__, str(folder)]
    nowhere = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    with suppress(OSError):  # then it stays
        os.posix_spawn(sys.executable, words, {}, file_actions=nowhere, setsid=True)


def remove_tree(folder: Path, limit_s: float | None = None) -> bool:
    """Remove a folder and all that is in it; return whether it is gone.

    Links are removed and not followed. What an agent made immutable is made removable first: who may do
    the one may do the other. What cannot be removed all the same stays.

    Args:
        folder: The folder; it need not be there.
        limit_s: Processor time of this thread after which to give up; None is no limit.
    """
    # Not by the clock: on a busy machine nothing would be removed in time.
    end_s = None if limit_s is None else time.thread_time() + limit_s
    try:
        above = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return not os.path.lexists(folder)
    try:
        _Removal(end_s).remove(above, folder.name)
    finally:
        os.close(above)
    return not os.path.lexists(folder)


class _OutOfTime(Exception):
    pass


class _Removal:
    """Goes down and up again with one open folder: no nesting is too deep for it."""

    def __init__(self, end_s: float | None) -> None:
        self._end_s = end_s

    def remove(self, above: int, name: str) -> None:
        if not _removed_as_file(above, name):
            with suppress(_OutOfTime):
                self._remove_folder(above, name)

    def _remove_folder(self, above: int, name: str) -> None:
        here = os.dup(above)
        levels: list[tuple[str, list[str], tuple[int, int]]] = []
        inside: list[str] = [name]
        try:
            while True:
                while inside:
                    child = inside.pop()
                    below = _entered(here, child)
                    if below is not None:
                        levels.append((child, inside, _identity(here)))
                        os.close(here)
                        here = below
                        inside = self._emptied(here)
                if not levels:
                    return
                child, inside, was = levels.pop()
                up = os.open("..", _FLAGS, dir_fd=here)
                os.close(here)
                here = up
                if _identity(here) != was:
                    return  # somebody moved it: this is not our folder any more
                _done_or_freed(os.rmdir, here, child)
        finally:
            os.close(here)

    def _emptied(self, folder: int) -> list[str]:
        """Remove the files of a folder; return the names of its folders."""
        folders: dict[str, None] = {}
        while True:
            with os.scandir(folder) as listing:
                left = (each.name for each in listing if each.name not in folders)
                names = list(islice(left, _AT_ONCE))
            if not names:
                return list(folders)
            for name in names:
                if self._end_s is not None and time.thread_time() > self._end_s:
                    raise _OutOfTime
                if not _removed_as_file(folder, name):
                    folders[name] = None  # or a file that stays


def _entered(above: int, name: str) -> int | None:
    """Return the descriptor of a folder; None for what is none, or is mounted from elsewhere."""
    try:
        facts = os.lstat(name, dir_fd=above)
        if not stat.S_ISDIR(facts.st_mode) or facts.st_dev != os.fstat(above).st_dev:
            return None
        if facts.st_mode & _RWX != _RWX:
            with suppress(OSError):
                os.chmod(name, _RWX, dir_fd=above)
        return os.open(name, _FLAGS, dir_fd=above)
    except OSError:
        return None


def _removed_as_file(folder: int, name: str) -> bool:
    return _done_or_freed(os.unlink, folder, name)


def _done_or_freed(remove: Callable[..., None], folder: int, name: str) -> bool:
    """Remove something from a folder, if need be once it may be changed; return whether it is gone."""
    for is_last in (False, True):
        try:
            remove(name, dir_fd=folder)
        except FileNotFoundError:
            return True
        except PermissionError:
            if is_last or not _freed(folder, name):
                return False
        except OSError:
            return False
        else:
            return True
    return False


def _freed(folder: int, name: str) -> bool:
    """Take the flags from a folder and a name in it that keep both from change; return whether one had some."""
    freed = _cleared(folder)
    with suppress(OSError):
        inner = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        try:
            freed = _cleared(inner) or freed
        finally:
            os.close(inner)
    return freed


def _cleared(descriptor: int) -> bool:
    if sys.platform != "linux":
        return False  # the numbers of these requests are those of Linux
    try:
        held = fcntl.ioctl(descriptor, _GET_FLAGS, bytes(8))
        (flags,) = struct.unpack_from("i", held)
        if not flags & _FIXED:
            return False
        fcntl.ioctl(descriptor, _SET_FLAGS, struct.pack("q", flags & ~_FIXED))
    except OSError:
        return False
    return True


def _identity(folder: int) -> tuple[int, int]:
    facts = os.fstat(folder)
    return facts.st_dev, facts.st_ino


if __name__ == "__main__":
    remove_tree(Path(sys.argv[1]).absolute())
