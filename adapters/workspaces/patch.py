"""The changes of a run as a patch that `git apply` takes: made here, so that it needs no git.

Binary files, and files over the size limit, are named without their content.
"""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import NamedTuple

from cab.adapters.workspaces.bounds import BOUNDS, WorkspaceBounds
from cab.adapters.workspaces.folders import FolderId
from cab.adapters.workspaces.line_diff import DiffTooLong, LineDiff
from cab.adapters.workspaces.tree import is_git
from cab.adapters.workspaces.walk import Unread, WalkedEntry, WorkspaceWalk, readable_name
from cab.scoring.evidence.manifest import TreeDiff

MAX_BYTES = 1 << 20
"""Larger files are named only: comparing lines takes quadratic time at worst."""
TOTAL_BYTES = 64 << 20
"""How much content of each side is shown; files after that are named only."""

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_BINARY_LOOK_BYTES = 8000  # as far as git looks for a NUL


class _Side(NamedTuple):
    """One file before or after the run; `content` is None where it is not shown."""

    mode: str
    content: bytes | None


def make_patch(  # noqa: PLR0913 - two folders, and how they are looked at
    before: Path,
    after: Path,
    diff: TreeDiff,
    *,
    same: FolderId | None = None,
    bounds: WorkspaceBounds = BOUNDS,
    stop: Event | None = None,
) -> bytes:
    """Return the unified diff of all changed files and links.

    Args:
        before: The workspace as the agent got it.
        after: The workspace as the agent left it.
        diff: What changed, as the two manifests say.
        same: Which folder `after` must be; None takes what is there.
        bounds: What is looked at.
        stop: Ends the work when it is set.

    Raises:
        WalkStopped: It was set.
    """
    changed = diff.changed
    with WorkspaceWalk(before, bounds=bounds, stop=stop, left_out=is_git) as walk:
        old = _sides(walk, set(changed))
    with WorkspaceWalk(after, same=same, bounds=bounds, stop=stop, left_out=is_git) as walk:
        new = _sides(walk, set(changed))
    lines = LineDiff(bounds.time_s, stop)
    return b"".join(
        _file_patch(path, old.get(path), new.get(path), lines)
        for path in changed
        if path in old or path in new
    )


def _sides(walk: WorkspaceWalk, wanted: set[str]) -> dict[str, _Side]:
    sides: dict[str, _Side] = {}
    left_bytes = TOTAL_BYTES
    for found in walk:
        path = readable_name(found.path)
        if path in wanted and path not in sides and not found.is_folder:
            side = _side(walk, found, min(MAX_BYTES, left_bytes))
            left_bytes -= len(side.content or b"")
            sides[path] = side
    return sides


def _side(walk: WorkspaceWalk, found: WalkedEntry, most_bytes: int) -> _Side:
    if found.is_link:
        return _Side("120000", _target(found))
    mode = "100755" if found.facts.st_mode & stat.S_IXUSR else "100644"
    shown = found.is_file and found.facts.st_size <= most_bytes
    return _Side(mode, _content(walk, found) if shown else None)


def _target(found: WalkedEntry) -> bytes | None:
    try:
        return os.fsencode(found.target())
    except OSError:
        return None


def _content(walk: WorkspaceWalk, found: WalkedEntry) -> bytes | None:
    try:
        return b"".join(walk.pieces(found))
    except Unread:
        return None


def _file_patch(path: str, old: _Side | None, new: _Side | None, diff: LineDiff) -> bytes:
    if old is not None and new is not None and _kind(old) != _kind(new):
        # A file that became a link: git writes that as a removal and a creation.
        return _file_patch(path, old, None, diff) + _file_patch(path, None, new, diff)
    lines = [f"diff --git {_quoted('a/' + path)} {_quoted('b/' + path)}", *_mode_lines(old, new)]
    body = _body(path, old, new, diff)
    return "".join(f"{line}\n" for line in lines).encode() + body


def _kind(side: _Side) -> str:
    return side.mode[:3]


def _mode_lines(old: _Side | None, new: _Side | None) -> Iterator[str]:
    if old is None and new is not None:
        yield f"new file mode {new.mode}"
    elif new is None and old is not None:
        yield f"deleted file mode {old.mode}"
    elif old is not None and new is not None and old.mode != new.mode:
        yield f"old mode {old.mode}"
        yield f"new mode {new.mode}"


def _body(path: str, old: _Side | None, new: _Side | None, diff: LineDiff) -> bytes:
    name_old = _quoted("a/" + path) if old else "/dev/null"
    name_new = _quoted("b/" + path) if new else "/dev/null"
    was = b"" if old is None else old.content
    now = b"" if new is None else new.content
    if was == now and was is not None:
        return b""  # the mode alone changed, or the file is empty
    named_only = f"Binary files {name_old} and {name_new} differ\n".encode()
    if was is None or now is None or _is_binary(was) or _is_binary(now):
        return named_only
    try:
        # Latin-1 maps every byte to one character and back: the patch holds the very bytes.
        lines = diff.unified(_lines(was), _lines(now), _latin(name_old), _latin(name_new))
    except DiffTooLong:
        return named_only
    return b"".join(_terminated(line) for line in lines)


def _latin(name: str) -> str:
    # A tab ends a name that holds a space: otherwise patch(1) takes the rest for a time stamp.
    return name.encode().decode("latin-1") + ("\t" if " " in name else "")


def _lines(content: bytes) -> list[str]:
    """Return the lines, split at line feeds only, each with its own ending."""
    return _LINE.findall(content.decode("latin-1"))


def _terminated(line: str) -> bytes:
    raw = line.encode("latin-1")
    return raw if raw.endswith(b"\n") else raw + b"\n\\ No newline at end of file\n"


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
