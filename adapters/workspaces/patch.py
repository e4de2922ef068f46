"""The changes of a run as a patch that `git apply` takes: made here, so that it needs no git.

Binary files, and files over the size limit, are named without their content.
"""

import difflib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cab.adapters.workspaces.tree import readable_name, walk_paths
from cab.scoring.evidence.manifest import TreeDiff

MAX_BYTES = 1 << 20
"""Larger files are named only: comparing lines takes quadratic time at worst."""

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_BINARY_LOOK_BYTES = 8000  # as far as git looks for a NUL


class _Side(NamedTuple):
    """One file before or after the run; `content` is None where it is not shown."""

    mode: str
    content: bytes | None


def make_patch(before: Path, after: Path, diff: TreeDiff) -> bytes:
    """Return the unified diff of all changed files and links.

    Args:
        before: The workspace as the agent got it.
        after: The workspace as the agent left it.
        diff: What changed, as the two manifests say.
    """
    names = _names(before) | _names(after)
    parts = (
        _file_patch(path, _side(before / names[path]), _side(after / names[path]))
        for path in diff.changed
        if path in names
    )
    return b"".join(parts)


def _names(root: Path) -> dict[str, str]:
    """Return the path on disk of each path of a manifest; they differ where a name is not UTF-8."""
    return {readable_name(path): path for path in walk_paths(root)}


def _side(path: Path) -> _Side | None:
    """Return one side of a change; None where there is no file or link."""
    try:
        facts = path.lstat()
    except OSError:
        return None
    if stat.S_ISDIR(facts.st_mode):
        return None
    if stat.S_ISLNK(facts.st_mode):
        return _Side("120000", os.fsencode(path.readlink()))
    mode = "100755" if facts.st_mode & stat.S_IXUSR else "100644"
    shown = stat.S_ISREG(facts.st_mode) and facts.st_size <= MAX_BYTES
    return _Side(mode, _content(path) if shown else None)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _file_patch(path: str, old: _Side | None, new: _Side | None) -> bytes:
    if old is not None and new is not None and _kind(old) != _kind(new):
        # A file that became a link: git writes that as a removal and a creation.
        return _file_patch(path, old, None) + _file_patch(path, None, new)
    lines = [f"diff --git {_quoted('a/' + path)} {_quoted('b/' + path)}", *_mode_lines(old, new)]
    body = _body(path, old, new)
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


def _body(path: str, old: _Side | None, new: _Side | None) -> bytes:
    name_old = _quoted("a/" + path) if old else "/dev/null"
    name_new = _quoted("b/" + path) if new else "/dev/null"
    was = b"" if old is None else old.content
    now = b"" if new is None else new.content
    if was == now and was is not None:
        return b""  # the mode alone changed, or the file is empty
    if was is None or now is None or _is_binary(was) or _is_binary(now):
        return f"Binary files {name_old} and {name_new} differ\n".encode()
    # Latin-1 maps every byte to one character and back: the patch holds the very bytes.
    lines = difflib.unified_diff(
        _lines(was), _lines(now), _latin(name_old), _latin(name_new), lineterm="\n"
    )
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
