"""Reading a ledger while it is written: what came since the last look, across its segments."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO

from cab.scoring.errors import BadRecord
from cab.scoring.ledger.bounds import MAX_LINE_BYTES
from cab.scoring.ledger.segments import (
    Segment,
    find_segments,
    open_segment,
    overlong_line,
    segment_lines,
)
from cab.scoring.ledger.zstd import Damaged


@dataclass(slots=True)
class _Place:
    """How far one chain has been read. The file stays open, so that compressing it loses nothing."""

    segment: Segment
    file: BinaryIO


class Follower:
    """Yields the lines of a ledger that came since it was last asked.

    Args:
        folder: The ledger; it may still be empty.
        worker: Whose chain alone is read; None reads all.
    """

    def __init__(self, folder: Path, worker: int | None = None) -> None:
        self._folder = folder
        self._worker = worker
        self._places: dict[str, _Place] = {}
        self._is_stopped = False

    def last(self, count: int) -> list[bytes]:
        """Return up to so many last lines of each chain, chain by chain, and go to their ends.

        Raises:
            BadRecord: The ledger cannot be read.
        """
        lines: list[bytes] = []
        for chain in self._chains().values():
            *closed, newest = chain
            place = self._places[newest.chain] = _opened(newest)
            tail = deque(self._unless_stopped(_whole_lines(place)), maxlen=count)
            lines += self._before(closed, count - len(tail))
            lines += tail
        return lines

    def skip(self) -> None:
        """Go to the ends of the chains without reading them; each must end with a whole line.

        Raises:
            BadRecord: The ledger cannot be read.
        """
        for *_, newest in self._chains().values():
            place = self._places[newest.chain] = _opened(newest)
            if place.file.seekable():
                place.file.seek(0, os.SEEK_END)
            else:  # compressed, so that it grows no more
                deque(_whole_lines(place), maxlen=0)

    def new(self) -> Iterator[bytes]:
        """Yield the whole lines that came since the last look.

        Raises:
            BadRecord: The ledger cannot be read.
        """
        for chain in self._chains().values():
            # Listed first, then read to the end: what is before a new segment is complete.
            for segment in chain:
                yield from self._new_in(segment)

    def stop(self) -> None:
        """Have a read in another thread end early, with some lines missing; nothing waits for it here."""
        self._is_stopped = True

    def close(self) -> None:
        """Close the files; no other thread may read any more."""
        for place in self._places.values():
            place.file.close()
        self._places.clear()

    def _chains(self) -> dict[str, list[Segment]]:
        chains: dict[str, list[Segment]] = {}
        for segment in find_segments(self._folder):
            if self._worker is not None and segment.worker != self._worker:
                continue
            chains.setdefault(segment.chain, []).append(segment)
        return chains

    def _new_in(self, segment: Segment) -> Iterator[bytes]:
        place = self._places.get(segment.chain)
        if place is not None and segment.number < place.segment.number:
            return
        if place is not None and segment.number == place.segment.number:
            yield from _whole_lines(place)
            return
        if place is not None:
            yield from _whole_lines(place)
            place.file.close()
        place = self._places[segment.chain] = _opened(segment)
        yield from _whole_lines(place)

    def _before(self, closed: list[Segment], count: int) -> list[bytes]:
        """Return up to so many last lines of closed segments, reading no more of them than needed."""
        lines: list[bytes] = []
        while closed and len(lines) < count and not self._is_stopped:
            missing = count - len(lines)
            found = self._unless_stopped(segment_lines(closed.pop().path))
            lines = [*deque(found, maxlen=missing), *lines]
        return lines

    def _unless_stopped(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        return takewhile(lambda _: not self._is_stopped, lines)


def _opened(segment: Segment) -> _Place:
    return _Place(segment, open_segment(segment.path))


def _whole_lines(place: _Place) -> Iterator[bytes]:
    """Yield the lines from here on that are complete, and stay in front of one that is not."""
    path = str(place.segment.path)
    try:
        while line := place.file.readline(MAX_LINE_BYTES):
            if not line.endswith(b"\n"):
                if len(line) == MAX_LINE_BYTES:
                    yield overlong_line(line, place.file)
                    continue
                if place.file.seekable():
                    place.file.seek(-len(line), os.SEEK_CUR)
                return
            yield line
    except Damaged as error:
        raise BadRecord(path, None, str(error)) from error
