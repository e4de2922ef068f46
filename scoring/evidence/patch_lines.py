"""What a bundle's `changes.patch` says of each file: lines added and removed, and its part of the patch.

The counts of a hunk's head are followed, so that a line of the workspace that looks like a head is
taken for what it is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from os.path import lexists
from pathlib import Path
from typing import NamedTuple

from cab.scoring.errors import BadRecord
from cab.scoring.files import check_regular, naming

MAX_LINE_BYTES = 64 << 20
"""A patch shows 16 MiB of each side, so a longer line is not ours."""
LEFT_OUT = b"Not in this patch: "
"""Begin of a line that names a file whose change no patch can hold: a path, and the reason in brackets."""
SCRATCH = "scratch of the agent"
"""Reason of a file that is left out because it is not the agent's work."""

_HUNK = re.compile(rb"@@ -\d{1,9}(?:,(\d{1,9}))? \+\d{1,9}(?:,(\d{1,9}))? @@")
_DIFF = re.compile(rb'diff --git (?:a/(.*) b/\1|("a/.*") ("b/.*"))\n', re.DOTALL)
_LEFT_OUT = re.compile(LEFT_OUT + rb'(?:([^"].*)|("[^"\\]*(?:\\.[^"\\]*)*")) \([a-z -]+\)\n')
_SCRATCH_END = f" ({SCRATCH})\n".encode()
_ESCAPE = re.compile(rb'\\([0-7]{3}|["\\])')
_NO_NEWLINE = b"\\"


@dataclass(slots=True)
class FileLines:
    """What a patch says of one file."""

    added: int = 0
    """Lines that are new."""
    removed: int = 0
    """Lines that are gone."""
    binary: bool = False
    """Whether its lines are not known: it is binary, or large, or not shown."""
    shown: bool = True
    """Whether the patch holds its change."""


class PatchPart(NamedTuple):
    """The part of a patch for one file."""

    path: str
    """Below the workspace, `/` between its parts."""
    lines: FileLines
    text: bytes
    """As it stands in the patch."""


def read_patch_lines(path: Path) -> dict[str, FileLines] | None:
    """Return path -> lines of each file of a patch, None if there is no patch.

    Raises:
        BadRecord: The file is not a patch as CAB writes it, or cannot be read.
    """
    if not lexists(path):
        return None
    files: dict[str, FileLines] = {}
    for part in iter_patch(path):
        known = files.setdefault(part.path, part.lines)
        if known is not part.lines:  # a file that became a link is removed and made
            known.added += part.lines.added
            known.removed += part.lines.removed
            known.binary |= part.lines.binary
            known.shown &= part.lines.shown
    return files


def iter_patch(path: Path) -> Iterator[PatchPart]:
    """Yield the parts of a patch as CAB writes it; together they are the whole of it.

    Raises:
        BadRecord: The file is not a patch as CAB writes it, or cannot be read.
    """
    check_regular(path)
    lines = _Lines(path)
    name: str | None = None
    current = FileLines()
    for line in lines:
        if line.startswith((b"diff --git ", LEFT_OUT)):
            if name is not None:
                yield PatchPart(name, current, lines.text_before(line))
            name, current = _name(line, lines), FileLines()
            current.shown = not line.startswith(LEFT_OUT)
            current.binary = not current.shown and not line.endswith(_SCRATCH_END)
        elif name is None:
            raise lines.error("no file was named before this line")
        elif line.startswith(b"Binary files "):  # CAB before git's binary patches
            current.binary, current.shown = True, False
        elif line == b"GIT binary patch\n":
            current.binary = True
        elif line.startswith(b"@@ "):
            _count_hunk(line, lines, current)
    if name is not None:
        yield PatchPart(name, current, lines.text_before(b""))


class _Lines:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = 0
        self._lines = self._read()
        self._text: list[bytes] = []

    def __iter__(self) -> Iterator[bytes]:
        return self._lines

    def take(self) -> bytes:
        """Return the next line.

        Raises:
            BadRecord: There is none.
        """
        line = next(self._lines, None)
        if line is None:
            raise self.error("the patch ends within a hunk")
        return line

    def text_before(self, line: bytes) -> bytes:
        """Return all that was read before this line since the last time."""
        text = b"".join(self._text[:-1] if line else self._text)
        self._text = [line]
        return text

    def error(self, reason: str) -> BadRecord:
        return BadRecord(str(self._path), self._number, reason)

    def _read(self) -> Iterator[bytes]:
        with naming(self._path), self._path.open("rb") as handle:
            while line := handle.readline(MAX_LINE_BYTES + 1):
                self._number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise self.error(f"the line is longer than {MAX_LINE_BYTES} bytes")
                self._text.append(line)
                yield line


def _count_hunk(head: bytes, lines: _Lines, file: FileLines) -> None:
    match = _HUNK.match(head)
    if match is None:
        raise lines.error("the head of a hunk cannot be read")
    old, new = (1 if count is None else int(count) for count in match.groups())
    while old > 0 or new > 0:
        sign = lines.take()[:1]
        if sign == _NO_NEWLINE:
            continue
        if sign not in {b" ", b"+", b"-"}:
            raise lines.error("a line of a hunk begins with ' ', '+' or '-'")
        old -= sign != b"+"
        new -= sign != b"-"
        file.added += sign == b"+"
        file.removed += sign == b"-"
    if old or new:
        raise lines.error("the hunk has other lines than its head says")


def _name(line: bytes, lines: _Lines) -> str:
    """Return the path that a file's first line names; both sides name the same one."""
    match = _LEFT_OUT.fullmatch(line)
    if match is not None:
        raw = match[1] if match[2] is None else _unquoted(match[2])
        return raw.decode("utf-8", errors="backslashreplace")
    match = _DIFF.fullmatch(line)
    if match is None:
        raise lines.error("the line names no file")
    raw = match[1] if match[1] is not None else _unquoted(match[3])
    return raw.decode("utf-8", errors="backslashreplace")


def _unquoted(name: bytes) -> bytes:
    return _ESCAPE.sub(_character, name[1:-1]).removeprefix(b"b/")


def _character(match: re.Match[bytes]) -> bytes:
    escaped = match[1]
    return escaped if len(escaped) == 1 else bytes([int(escaped, 8) & 0xFF])
