"""One bounded pass over a workspace, which an agent may have filled with anything.

Folders are opened by descriptors and links are never followed, so that the pass cannot leave the
workspace; nothing is opened that could block; number, names, sizes, depth and time are bounded, and
what was left out is recorded. The pass goes level by level: what is near the top is seen first.
"""

import os
import stat
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from threading import Event
from typing import IO, NamedTuple, Self

import orjson

from cab.adapters.workspaces import bounds as words
from cab.adapters.workspaces.bounds import BOUNDS, CUT_SHORT, WorkspaceBounds
from cab.adapters.workspaces.folders import FolderId, FolderReplaced, OpenFolders

PIECE_BYTES = 1 << 20
"""How much of a file is in memory at once."""

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_ENTRY_BYTES = 250  # of an entry in a manifest, beside its names
_LONGEST_NAME_BYTES = 255
_MOST_ESCAPED = 6  # bytes in JSON of one byte


class WalkStopped(Exception):
    """Somebody asked the pass to end."""


class Unread(Exception):
    """A file is not read, or not to its end; the argument is the word for the reason."""


class WalkedEntry(NamedTuple):
    """One path below the root."""

    path: str
    """As the system has it: bytes that are not UTF-8 are surrogates."""
    name: str
    """Its last part."""
    folder: int
    """Descriptor of its folder, valid until the pass goes on."""
    facts: os.stat_result

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.facts.st_mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.facts.st_mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.facts.st_mode)

    def target(self) -> str:
        """Return where a link points.

        Raises:
            OSError: It is no link any more.
        """
        return os.readlink(self.name, dir_fd=self.folder)


def readable_name(path: str) -> str:
    r"""Return a path as text that any JSON reader takes.

    >>> readable_name("caf\udce9.txt")
    'caf\\xe9.txt'
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def special(facts: os.stat_result) -> str | None:
    """Return the word for what is neither file, link nor folder: opening it could block for ever."""
    if stat.S_ISFIFO(facts.st_mode):
        return words.PIPE
    if stat.S_ISSOCK(facts.st_mode):
        return words.SOCKET
    if stat.S_ISCHR(facts.st_mode) or stat.S_ISBLK(facts.st_mode):
        return words.DEVICE
    return None


class WorkspaceWalk:
    """One pass, to be iterated over once, within `with`.

    Args:
        root: The workspace.
        same: Which folder it must be; None takes what is there.
        bounds: What is looked at.
        stop: Ends the pass when it is set.
        left_out: Tells of a folder's path whether it is not entered.
    """

    def __init__(
        self,
        root: Path,
        *,
        same: FolderId | None = None,
        bounds: WorkspaceBounds = BOUNDS,
        stop: Event | None = None,
        left_out: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._bounds = bounds
        self._stop = stop or Event()
        self._left_out = left_out
        self._end_s = time.monotonic() + bounds.time_s
        self._entries_left = bounds.entries
        self._listing_left = bounds.listing_bytes
        self._bytes_left = bounds.total_bytes
        self.skipped: dict[str, str] = {}
        """Readable path -> word for why its content is not known."""
        self.incomplete: list[str] = []
        """Words for bounds that were hit, and for a root that is not there any more."""
        self._folders = self._opened(root, same)

    def _opened(self, root: Path, same: FolderId | None) -> OpenFolders | None:
        try:
            return OpenFolders(root, same)
        except FileNotFoundError:
            return None  # a workspace that was removed is empty
        except FolderReplaced:
            self._hit(words.REPLACED)
        except OSError:
            self._hit(words.UNREADABLE)
        return None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close all folders."""
        if self._folders is not None:
            self._folders.close()

    @property
    def cut_short(self) -> str | None:
        """Why the pass ended early, as a sentence; None if it did not."""
        found = [word for word in self.incomplete if word in CUT_SHORT]
        return words.SENTENCES[found[0]] if found else None

    def __iter__(self) -> Iterator[WalkedEntry]:
        """Yield the paths, those of a folder in the order of their names.

        Raises:
            WalkStopped: Somebody asked for it.
        """
        waiting = deque([""] if self._folders is not None else [])
        while waiting and self.cut_short is None:
            for found in self._children(waiting.popleft()):
                yield found
                if found.is_folder and self._may_enter(found):
                    waiting.append(found.path)

    def pieces(self, found: WalkedEntry) -> Iterator[bytes]:
        """Yield the content of a file.

        Raises:
            Unread: It is not a regular file, is too large, cannot be read, or changed meanwhile.
            WalkStopped: Somebody asked for it.
        """
        with self.opened(found) as handle:
            left_bytes = found.facts.st_size
            while piece := handle.read(PIECE_BYTES):
                left_bytes -= len(piece)
                self._bytes_left -= len(piece)
                if left_bytes < 0:  # somebody writes to it, perhaps for ever
                    raise Unread(words.CHANGED)
                self._require_time()
                yield piece
            if not _is_as(os.fstat(handle.fileno()), found.facts):
                raise Unread(words.CHANGED)

    @contextmanager
    def opened(self, found: WalkedEntry) -> Generator[IO[bytes]]:
        """Open a file; what goes wrong with it in the block is recorded.

        Raises:
            Unread: It is not a regular file, is too large, or cannot be read.
        """
        try:
            self._require_readable(found)
            with os.fdopen(os.open(found.name, _READ, dir_fd=found.folder), "rb", 0) as handle:
                if not _is_as(os.fstat(handle.fileno()), found.facts):
                    raise Unread(words.CHANGED)
                yield handle
        except OSError as error:
            self.skip(found.path, words.UNREADABLE)
            raise Unread(words.UNREADABLE) from error
        except Unread as error:
            self.skip(found.path, str(error))
            raise

    def skip(self, path: str, word: str) -> None:
        """Record that the content of a path is not known."""
        self.skipped[readable_name(path)] = word

    def _children(self, path: str) -> Iterator[WalkedEntry]:
        assert self._folders is not None
        try:
            folder = self._folders.open(path)
            with os.scandir(folder) as listing:
                # One more than is taken, so that the bound is noticed.
                names = sorted(islice((each.name for each in listing), self._entries_left + 1))
        except OSError:
            self.skip(path, words.UNREADABLE) if path else self._hit(words.UNREADABLE)
            return
        for name in names:
            child = f"{path}/{name}" if path else name
            try:
                facts = os.lstat(name, dir_fd=folder)
            except FileNotFoundError:
                continue
            except OSError:
                self.skip(child, words.UNREADABLE)
                continue
            if not self._may_list(child, facts):
                return
            yield WalkedEntry(child, name, folder, facts)

    def _may_list(self, path: str, facts: os.stat_result) -> bool:
        if self._stop.is_set():
            raise WalkStopped
        # Twice, as it may be among the skipped ones too.
        size = _ENTRY_BYTES + 2 * len(orjson.dumps(readable_name(path)))
        if stat.S_ISLNK(facts.st_mode):
            size += _MOST_ESCAPED * facts.st_size
        self._entries_left -= 1
        self._listing_left -= size
        if self._entries_left < 0:
            self._hit(words.ENTRIES)
        elif self._listing_left < 0:
            self._hit(words.LISTING)
        elif time.monotonic() > self._end_s:
            self._hit(words.TIME)
        return self.cut_short is None

    def _may_enter(self, found: WalkedEntry) -> bool:
        assert self._folders is not None
        if self._left_out(found.path):
            return False
        longest = len(os.fsencode(found.path)) + 1 + _LONGEST_NAME_BYTES
        if longest > self._bounds.path_bytes or found.path.count("/") + 1 >= self._bounds.depth:
            self.skip(found.path, words.DEPTH)
            self._hit(words.DEPTH)
            return False
        if found.facts.st_dev != self._folders.device:
            self.skip(found.path, words.OTHER_DISK)
            return False
        return True

    def _require_readable(self, found: WalkedEntry) -> None:
        if not found.is_file:
            raise Unread(special(found.facts) or words.CHANGED)
        if found.facts.st_size > self._bounds.file_bytes:
            raise Unread(words.FILE_SIZE)
        if found.facts.st_size > self._bytes_left:
            self._hit(words.TOTAL_SIZE)
            raise Unread(words.TOTAL_SIZE)

    def _require_time(self) -> None:
        if self._stop.is_set():
            raise WalkStopped
        if time.monotonic() > self._end_s:
            self._hit(words.TIME)
            raise Unread(words.TIME)

    def _hit(self, word: str) -> None:
        if word not in self.incomplete:
            self.incomplete.append(word)


def _is_as(now: os.stat_result, before: os.stat_result) -> bool:
    """Tell whether an open file is still the one that was found, with the same content."""
    return all(
        getattr(now, name) == getattr(before, name)
        for name in ("st_mode", "st_dev", "st_ino", "st_size", "st_mtime_ns")
    )
