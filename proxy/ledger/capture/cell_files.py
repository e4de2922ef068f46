"""Appends to the files of cells, in one thread, beside others who may delete them at any time."""

import os
import stat
from collections import OrderedDict
from pathlib import Path

import zstandard

from cab.proxy.ledger.segments import write_all
from cab.scoring.capture.cell import read_calls
from cab.scoring.capture.layout import cell_folder_name, lines_file, parts_file
from cab.scoring.capture.lines import MAX_LINE_BYTES, CapturedCall, PartPlace, dump_line

_LEVEL = 3
_MOST_CELLS = 64
"""Of so many cells it is remembered which parts they have; of others it is read again."""
_MOST_PARTS = 1 << 14
"""Of a cell with more parts, the others are written again."""
_MOST_READ_BYTES = 64 << 20
"""Of a larger file, the parts of an earlier run are written again."""
_TAIL_BYTES = 1 << 16
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


class CellFiles:
    """The files of one writer in a capture.

    Args:
        folder: The capture's folder; made with the first call.
        writer: Number of the proxy's process.
    """

    def __init__(self, folder: Path, writer: int) -> None:
        self._folder = folder
        self._writer = writer
        self._cells: OrderedDict[str, _Known] = OrderedDict()
        self._packer = zstandard.ZstdCompressor(level=_LEVEL)

    def append(self, call: CapturedCall, parts: dict[str, bytes]) -> int:
        """Write a call with those of its parts that its cell does not have; return the bytes written.

        A line is written after what it refers to, so a kill leaves at most bytes to which nothing refers.

        Args:
            call: The call, whose `new_parts` are filled in here.
            parts: The parts of its bodies, by their digests.

        Raises:
            OSError: The disk refuses; nothing of the call is there then.
        """
        name = cell_folder_name(call.cell_id)
        folder = self._folder / name
        handle = _opened_folder(folder)
        try:
            lines = lines_file(folder, self._writer)
            parts_fd = os.open(parts_file(lines).name, _FLAGS, 0o600, dir_fd=handle)
            try:
                lines_fd = os.open(lines.name, _FLAGS, 0o600, dir_fd=handle)
                try:
                    known = self._known(name, lines, lines_fd)
                    return self._written(call, parts, known, lines_fd, parts_fd)
                finally:
                    os.close(lines_fd)
            finally:
                os.close(parts_fd)
        finally:
            os.close(handle)

    def _written(
        self,
        call: CapturedCall,
        parts: dict[str, bytes],
        known: "_Known",
        lines_fd: int,
        parts_fd: int,
    ) -> int:
        start = at = os.fstat(parts_fd).st_size
        packed, places = list[bytes](), list[PartPlace]()
        for digest, part in parts.items():
            if digest in known.parts:
                continue
            frame = self._packer.compress(part)
            places.append(PartPlace(sha256=digest, at=at, size=len(frame), bytes=len(part)))
            packed.append(frame)
            at += len(frame)
        line = dump_line(call.model_copy(update={"new_parts": places}))
        if len(line) > MAX_LINE_BYTES:
            raise OSError(f"the line of call {call.call_id} has {len(line)} bytes")
        line_start = os.fstat(lines_fd).st_size
        try:
            write_all(parts_fd, b"".join(packed))
            write_all(lines_fd, line)
        except OSError:
            os.ftruncate(lines_fd, line_start)
            os.ftruncate(parts_fd, start)
            raise
        known.add(parts)
        known.lines_bytes = line_start + len(line)
        return at - start + len(line)

    def _known(self, name: str, lines: Path, lines_fd: int) -> "_Known":
        """Return which parts a cell has, as far as this writer wrote them."""
        facts = os.fstat(lines_fd)
        identity = facts.st_dev, facts.st_ino
        known = self._cells.pop(name, None)
        # Somebody may have deleted the cell, and what is there now is new, be it under the same number.
        if known is None or (known.identity, known.lines_bytes) != (identity, facts.st_size):
            known = _Known(identity)
            if facts.st_size:
                _cut_torn_line(lines_fd, facts.st_size)
                known.read(lines, facts.st_size)
        self._cells[name] = known
        if len(self._cells) > _MOST_CELLS:
            self._cells.popitem(last=False)
        return known


class _Known:
    """The parts that one file of parts has."""

    def __init__(self, identity: tuple[int, int]) -> None:
        self.identity = identity
        self.lines_bytes = 0
        """How large the file of lines was when it was last written."""
        self.parts: dict[str, None] = {}

    def add(self, parts: dict[str, bytes]) -> None:
        """Take note of parts that are there now; those used longest ago are forgotten."""
        for digest in parts:
            self.parts.pop(digest, None)
            self.parts[digest] = None
        while len(self.parts) > _MOST_PARTS:
            del self.parts[next(iter(self.parts))]

    def read(self, lines: Path, size_bytes: int) -> None:
        """Take note of the parts that an earlier run wrote."""
        if size_bytes > _MOST_READ_BYTES:
            return
        try:
            end = parts_file(lines).stat().st_size
        except OSError:
            return
        for call in read_calls(lines, lambda _: None):
            here = [place.sha256 for place in call.new_parts if place.at + place.size <= end]
            self.add(dict.fromkeys(here, b""))


def _opened_folder(folder: Path) -> int:
    """Return a descriptor of a cell's folder, which is made if missing."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(folder, flags)
    except FileNotFoundError:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        return os.open(folder, flags)


def _cut_torn_line(file: int, size_bytes: int) -> None:
    """Cut off a last line that a kill has left without its end."""
    if not stat.S_ISREG(os.fstat(file).st_mode) or os.pread(file, 1, size_bytes - 1) == b"\n":
        return
    at = size_bytes
    while at > 0:
        start = max(0, at - _TAIL_BYTES)
        newline = os.pread(file, at - start, start).rfind(b"\n")
        if newline >= 0:
            os.ftruncate(file, start + newline + 1)
            return
        at = start
    os.ftruncate(file, 0)
