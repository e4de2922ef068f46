"""Reads the bytes of a segment on from an offset, line by line, as far as they will never change."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import closing
from typing import BinaryIO, NamedTuple

from cab.proxy.ledger.shipping.sink import ShippedLine, ShipPosition
from cab.proxy.system.durable import sync_data
from cab.scoring.files import naming
from cab.scoring.ledger.bounds import MAX_LINE_BYTES
from cab.scoring.ledger.segments import Segment, open_segment, skip_bytes
from cab.scoring.ledger.zstd import Damaged


class ReadLine(NamedTuple):
    """A line, or a part of one."""

    line: ShippedLine
    position: ShipPosition | None
    """The position behind it; None inside a line."""


def sha256_of(raw: bytes) -> str:
    """Return the SHA-256 of bytes in hex."""
    return hashlib.sha256(raw).hexdigest()


def new_lines(segment: Segment, after: ShipPosition, *, is_closed: bool) -> Iterator[ReadLine]:
    """Yield the lines of a segment behind a position.

    Of a segment that grows only what is on disk comes, and only whole lines: neither a power cut nor a
    recovery takes such a line back. Of a closed one all comes, a last line without its newline too.

    Args:
        segment: The segment.
        after: The last line that was read of it; its `line` may be 0.
        is_closed: Whether another segment follows, so that this one grows no more.

    Raises:
        BadRecord: The segment cannot be read.
        Damaged: It cannot be unpacked any further.
    """
    with naming(segment.path), closing(open_segment(segment.path)) as handle:
        limit = _durable_bytes(handle) if handle.seekable() else None
        skip_bytes(handle, after.end)
        yield from _lines(handle, after, limit, keeps_rest=is_closed or limit is None)


def stands_at(segment: Segment, position: ShipPosition) -> bool:
    """Return whether the line of a position still stands where it stood.

    Raises:
        BadRecord: The segment cannot be read.
    """
    if position.line == 0:
        return True
    size = position.end - position.begin
    with naming(segment.path), closing(open_segment(segment.path)) as handle:
        try:
            # Of a line in parts the position has the last one.
            last = size if size <= MAX_LINE_BYTES else (size % MAX_LINE_BYTES or MAX_LINE_BYTES)
            skip_bytes(handle, position.end - last)
            raw = handle.read(last)
        except Damaged:
            return False
    return len(raw) == last and sha256_of(raw) == position.sha256


def first_line(segment: Segment) -> bytes | None:
    """Return the beginning of a segment up to its first newline; None if there is no whole line.

    Raises:
        BadRecord: The segment cannot be read.
    """
    with naming(segment.path), closing(open_segment(segment.path)) as handle:
        try:
            line = handle.readline(MAX_LINE_BYTES)
        except Damaged:
            return None
    return line if line.endswith(b"\n") or len(line) == MAX_LINE_BYTES else None


def _durable_bytes(handle: BinaryIO) -> int:
    size = os.fstat(handle.fileno()).st_size
    sync_data(handle.fileno())
    return size


def _lines(
    handle: BinaryIO, after: ShipPosition, limit: int | None, *, keeps_rest: bool
) -> Iterator[ReadLine]:
    number, begin = after.line, after.end
    while limit is None or begin < limit:
        raw = handle.readline(MAX_LINE_BYTES)
        is_whole = raw.endswith(b"\n")
        if limit is not None and not keeps_rest:
            if is_whole and begin + len(raw) > limit:
                return
            if not is_whole and not _ends_within(handle, begin + len(raw), limit):
                return
        if not raw:
            return
        number, end, part = number + 1, begin, 0
        while raw:
            end += len(raw)
            line = ShippedLine(after.segment, number, part, raw, is_whole)
            is_last = raw.endswith(b"\n") or len(raw) < MAX_LINE_BYTES
            position = ShipPosition(after.segment, number, begin, end, sha256_of(raw))
            yield ReadLine(line, position if is_last else None)
            if is_last:
                break
            raw, part = handle.readline(MAX_LINE_BYTES), part + 1
        begin = end


def _ends_within(handle: BinaryIO, at: int, limit: int) -> bool:
    """Return whether a line goes on from here to its end before a limit; the handle stays where it is."""
    begin, found = at, False
    while at < limit and not found:
        piece = handle.readline(min(limit - at, MAX_LINE_BYTES))
        at += len(piece)
        found = piece.endswith(b"\n")
        if not piece:
            break
    handle.seek(begin)
    return found
