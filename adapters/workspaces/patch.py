"""The changes of a run as a patch that `git apply` takes: made here, so that it needs no git.

Text is shown as lines, and everything else as git's binary patches. What cannot be in a patch is named
on a line of its own, which `git apply` passes over.
"""

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Event
from typing import NamedTuple

from cab.adapters.workspaces import bounds as words
from cab.adapters.workspaces.binary_patch import binary_hunk
from cab.adapters.workspaces.bounds import BOUNDS, WorkspaceBounds
from cab.adapters.workspaces.folders import FolderId
from cab.adapters.workspaces.line_diff import DiffTooLong, LineDiff
from cab.adapters.workspaces.tree import is_git
from cab.adapters.workspaces.walk import (
    Unread,
    WalkedEntry,
    WorkspaceWalk,
    readable_name,
    special,
)
from cab.scoring.evidence.manifest import TreeDiff
from cab.scoring.evidence.patch_lines import LEFT_OUT, SCRATCH

MAX_BYTES = 1 << 20
"""The lines of larger files are not compared: that takes quadratic time at worst."""
TOTAL_BYTES = 16 << 20
"""How much content of each side is shown; changes after that are named only."""
SECRET = "holds a secret"
"""Why a binary file is not shown: in its compressed form nothing could be taken out later."""

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_BINARY_LOOK_BYTES = 8000  # as far as git looks for a NUL
_NO_BLOB = "0" * 40
_NO_NEWLINE = b"\n\\ No newline at end of file\n"

Redact = Callable[[bytes], bytes]


class _Side(NamedTuple):
    """One file before or after the run."""

    mode: str
    content: bytes | None
    """None where it is not shown."""
    why: str = ""
    """Why it is not."""


def make_patch(  # noqa: PLR0913 - two folders, and how they are looked at
    before: Path,
    after: Path,
    diff: TreeDiff,
    scratch: Iterable[str] = (),
    *,
    same: FolderId | None = None,
    bounds: WorkspaceBounds = BOUNDS,
    stop: Event | None = None,
    redact: Redact = bytes,
) -> bytes:
    """Return the diff of all changed files and links.

    Args:
        before: The workspace as the agent got it.
        after: The workspace as the agent left it.
        diff: What changed, as the two manifests say.
        scratch: Changed paths that are named only: they are not the agent's work.
        same: Which folder `after` must be; None takes what is there.
        bounds: What is looked at.
        stop: Ends the work when it is set.
        redact: Takes secrets out of bytes; a binary file that it would change is named only. The lines of
            text are left to the caller.

    Raises:
        WalkStopped: It was set.
    """
    named = set(scratch)
    changed, make = set(diff.changed) - named, _Maker(LineDiff(bounds.time_s, stop), redact)
    with WorkspaceWalk(before, bounds=bounds, stop=stop, left_out=is_git) as walk:
        old = dict(_sides(walk, changed))
    parts: dict[str, bytes] = {}
    with WorkspaceWalk(after, same=same, bounds=bounds, stop=stop, left_out=is_git) as walk:
        # One file at a time: a workspace may hold far more than should be in memory.
        for path, new in _sides(walk, changed):
            parts[path] = make.file_patch(path, old.pop(path, None), new)
    for path, side in old.items():
        parts[path] = make.file_patch(path, side, None)
    parts |= {path: _left_out(path, SCRATCH) for path in named}
    return b"".join(parts[path] for path in sorted(parts))


def _sides(walk: WorkspaceWalk, wanted: set[str]) -> Iterator[tuple[str, _Side]]:
    seen, left_bytes = set[str](), TOTAL_BYTES
    for found in walk:
        path = readable_name(found.path)
        if path in wanted and path not in seen and not found.is_folder:
            side = _side(walk, found, left_bytes)
            left_bytes -= len(side.content or b"")
            seen.add(path)
            yield path, side


def _side(walk: WorkspaceWalk, found: WalkedEntry, most_bytes: int) -> _Side:
    if found.is_link:
        return _link(found)
    mode = "100755" if found.facts.st_mode & stat.S_IXUSR else "100644"
    if found.is_file and found.facts.st_size > most_bytes:
        return _Side(mode, None, words.TOTAL_SIZE)
    try:
        return _Side(mode, b"".join(walk.pieces(found)))
    except Unread as error:
        return _Side(mode, None, special(found.facts) or str(error))


def _link(found: WalkedEntry) -> _Side:
    try:
        return _Side("120000", os.fsencode(found.target()))
    except OSError:
        return _Side("120000", None, words.CHANGED)


class _Maker(NamedTuple):
    """Makes the part of a patch for one file."""

    diff: LineDiff
    redact: Redact

    def file_patch(self, path: str, old: _Side | None, new: _Side | None) -> bytes:
        """Return the part; a line that names the file where it cannot be in a patch."""
        for side in (old, new):
            if side is not None and side.content is None:
                return _left_out(path, side.why)
        if old is not None and new is not None and _kind(old) != _kind(new):
            # A file that became a link: git writes that as a removal and a creation.
            return self.file_patch(path, old, None) + self.file_patch(path, None, new)
        body = self._body(path, old, new)
        if body is None:
            return _left_out(path, SECRET)
        lines = [f"diff --git {_quoted('a/' + path)} {_quoted('b/' + path)}", *_modes(old, new)]
        return "".join(f"{line}\n" for line in lines).encode() + body

    def _body(self, path: str, old: _Side | None, new: _Side | None) -> bytes | None:
        was, now = _content(old), _content(new)
        if was == now:
            return b""  # the mode alone changed, or the file is empty
        if not (_is_binary(was) or _is_binary(now)):
            lines = self._lines(
                _latin(_quoted("a/" + path)) if old else "/dev/null",
                _latin(_quoted("b/" + path)) if new else "/dev/null",
                was,
                now,
            )
            if lines is not None:
                return lines
        if self.redact(now) != now:
            return None
        return _index(was if old else None, now if new else None) + binary_hunk(now)

    def _lines(self, name_old: str, name_new: str, was: bytes, now: bytes) -> bytes | None:
        """Return a unified diff; None if the lines cannot be compared in time."""
        if not (was and now):
            names = f"--- {name_old}\n+++ {name_new}\n".encode("latin-1")
            return names + (_one_sided(b"-", was) if was else _one_sided(b"+", now))
        if max(len(was), len(now)) > MAX_BYTES:
            return None
        try:
            # Latin-1 maps every byte to one character and back: the patch holds the very bytes.
            lines = self.diff.unified(_split(was), _split(now), name_old, name_new)
        except DiffTooLong:
            return None
        return b"".join(_terminated(line) for line in lines)


def _left_out(path: str, why: str) -> bytes:
    return b"%s%s (%s)\n" % (LEFT_OUT, _quoted(path).encode(), why.encode())


def _content(side: _Side | None) -> bytes:
    return b"" if side is None else side.content or b""


def _kind(side: _Side) -> str:
    return side.mode[:3]


def _modes(old: _Side | None, new: _Side | None) -> Iterator[str]:
    if old is None and new is not None:
        yield f"new file mode {new.mode}"
    elif new is None and old is not None:
        yield f"deleted file mode {old.mode}"
    elif old is not None and new is not None and old.mode != new.mode:
        yield f"old mode {old.mode}"
        yield f"new mode {new.mode}"


def _index(was: bytes | None, now: bytes | None) -> bytes:
    """Return the line of the two blobs, without which git applies no binary patch."""
    return f"index {_blob(was)}..{_blob(now)}\n".encode()


def _blob(content: bytes | None) -> str:
    if content is None:
        return _NO_BLOB
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _one_sided(sign: bytes, content: bytes) -> bytes:
    """Return the only hunk of a file that is new, or gone."""
    whole = content.endswith(b"\n")
    count = content.count(b"\n") + (not whole)
    lengths = [b"0,0", b"1" if count == 1 else b"1,%d" % count]
    old, new = lengths if sign == b"+" else lengths[::-1]
    body = sign + content.removesuffix(b"\n").replace(b"\n", b"\n" + sign)
    return b"@@ -%s +%s @@\n" % (old, new) + body + (b"\n" if whole else _NO_NEWLINE)


def _latin(name: str) -> str:
    # A tab ends a name that holds a space: otherwise patch(1) takes the rest for a time stamp.
    return name.encode().decode("latin-1") + ("\t" if " " in name else "")


def _split(content: bytes) -> list[str]:
    """Return the lines, split at line feeds only, each with its own ending."""
    return _LINE.findall(content.decode("latin-1"))


def _terminated(line: str) -> bytes:
    raw = line.encode("latin-1")
    return raw if raw.endswith(b"\n") else raw + _NO_NEWLINE


def _is_binary(content: bytes) -> bool:
    return b"\0" in content[:_BINARY_LOOK_BYTES]


def _quoted(path: str) -> str:
    """Return a path as git writes it: in quotes only where it holds special characters."""
    if path.isprintable() and not {'"', "\\"} & set(path):
        return path
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else _octal(c) for c in escaped) + '"'


def _octal(character: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in character.encode())
