"""Sends what a ledger holds behind the positions that its sink has; each pass goes on from there."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cab.proxy.ledger.shipping.chain_reader import ReadLine, new_lines, stands_at
from cab.proxy.ledger.shipping.chains import ChainFinder, FoundChain
from cab.proxy.ledger.shipping.sink import (
    ChainIdentity,
    LedgerSink,
    PositionMoved,
    ShippedLine,
    ShipPosition,
)
from cab.proxy.logs import RedactingLogger
from cab.scoring.errors import BadRecord
from cab.scoring.ledger.segments import Segment
from cab.scoring.ledger.zstd import Damaged

BATCH_LINES = 2_000
BATCH_BYTES = 4 << 20
"""What is sent in one step: so much is in memory, and is sent again after a failure."""

log = RedactingLogger()


class Stopped(Exception):
    """The shipper is to stop: what was stored is stored."""


@dataclass(slots=True)
class PassResult:
    """What one pass over a ledger did."""

    lines: int = 0
    """Lines that were sent; those that the sink had already too."""
    missing_segments: list[str] = field(default_factory=list[str])
    """Segments that are gone, and of which the sink lacks lines."""
    unreadable: list[str] = field(default_factory=list[str])
    """Segments that could not be read to their end, and why."""
    behind_bytes: int = 0
    """What was not sent at the end of the pass, in bytes of plain segments."""


class Shipper:
    """Sends one ledger to one sink.

    Args:
        folder: The ledger, or an archive's folder.
        name: What people call the ledger.
        again: Send all lines that are there, whatever was sent; positions stay.
        stop: Ends a pass early.
    """

    def __init__(
        self, folder: Path, name: str, *, again: bool = False, stop: threading.Event | None = None
    ) -> None:
        self._finder = ChainFinder(folder, name)
        self._again = again
        self._stop = stop or threading.Event()
        self._read: dict[str, tuple[str, int, int]] = {}
        self._told: set[str] = set()

    def run_pass(self, sink: LedgerSink) -> PassResult:
        """Send what is there; return what was done.

        Raises:
            SinkFailed: The sink takes nothing now.
            BadRecord: The folder cannot be read.
            Stopped: `stop` was set.
        """
        result = PassResult()
        for chain in self._finder.chains(sink):
            try:
                self._ship_all(chain, sink, result)
            except BadRecord as error:  # the other chains go on
                self._tell_unreadable(chain.identity.chain, str(error), result)
        return result

    def _ship_all(self, chain: FoundChain, sink: LedgerSink, result: PassResult) -> None:
        while True:
            try:
                self._ship_chain(chain, sink, result)
            except PositionMoved as moved:  # by another shipper: each time that it has got on
                log.info("shipping_position_moved", chain=chain.identity.chain, reason=str(moved))
            else:
                return

    def _ship_chain(self, chain: FoundChain, sink: LedgerSink, result: PassResult) -> None:
        identity, segments = chain
        newest = segments[-1]
        if self._read.get(identity.ledger) == (_mark(newest) or ()):
            return
        position = None if self._again else sink.position(identity)
        position = self._checked(chain, position, sink)
        expected = 1 if position is None else position.segment
        for at, segment in enumerate(segments):
            if position is not None and segment.number < position.segment:
                continue
            for number in range(expected, segment.number):
                self._miss(f"{identity.chain}-{number:06d}", result)
            expected = segment.number + 1
            is_closed = at + 1 < len(segments)
            mark = _mark(segment)
            if position is None or segment.number > position.segment:
                start = ShipPosition(segment.number, 0, 0, 0, "")
                self._store(sink, identity, [], position, start)
                position = start
            position = self._ship_segment(segment, identity, position, sink, result, is_closed)
            if not is_closed:
                if mark is not None:
                    self._read[identity.ledger] = mark
                result.behind_bytes += max(0, _plain_size(segment) - position.end)

    def _ship_segment(  # noqa: PLR0913 - one step of the loop above
        self,
        segment: Segment,
        identity: ChainIdentity,
        position: ShipPosition,
        sink: LedgerSink,
        result: PassResult,
        is_closed: bool,
    ) -> ShipPosition:
        for batch in _batches(self._lines(segment, position, result, is_closed=is_closed)):
            if self._stop.is_set():
                raise Stopped
            lines, after = batch
            self._store(sink, identity, lines, position, after)
            result.lines += len(lines)
            position = after or position
        return position

    def _lines(
        self, segment: Segment, position: ShipPosition, result: PassResult, *, is_closed: bool
    ) -> Iterator[ReadLine]:
        try:
            yield from new_lines(segment, position, is_closed=is_closed)
        except Damaged as error:
            # What is behind the damage cannot be read, here or anywhere: the segments behind it can.
            self._tell_unreadable(segment.path.name, str(error), result)

    def _store(
        self,
        sink: LedgerSink,
        identity: ChainIdentity,
        lines: list[ShippedLine],
        before: ShipPosition | None,
        after: ShipPosition | None,
    ) -> None:
        if self._again:
            if lines:
                sink.store(identity, lines, None, None)
            return
        sink.store(identity, lines, before, after)

    def _checked(
        self, chain: FoundChain, position: ShipPosition | None, sink: LedgerSink
    ) -> ShipPosition | None:
        """Return where to go on: the position, or an earlier one if the ledger has other lines there now.

        Only a ledger that was put back from a copy, or a disk that lost what it had confirmed, has.
        """
        if position is None:
            return None
        numbers = {segment.number: segment for segment in chain.segments}
        there = numbers.get(position.segment)
        newest = chain.segments[-1].number
        if there is None and position.segment < newest:
            return position  # its segment is gone; the sink keeps it
        if there is not None and stands_at(there, position):
            return position
        segment = min(position.segment, newest)
        name = f"{chain.identity.chain}-{segment:06d}"
        log.warning("shipped_lines_replaced", segment=name, reason="the ledger has other lines")
        sink.rewind(chain.identity, segment)
        return sink.position(chain.identity)

    def _tell_unreadable(self, name: str, reason: str, result: PassResult) -> None:
        what = f"{name}: {reason}"
        result.unreadable.append(what)
        if what not in self._told:
            self._told.add(what)
            log.error("segment_unreadable", segment=name, reason=reason)

    def _miss(self, name: str, result: PassResult) -> None:
        result.missing_segments.append(name)
        if name not in self._told:
            self._told.add(name)
            hint = (
                "ship the folder that has it with: cab ledger ship FOLDER --to URL --once --again"
            )
            log.error("segment_missing", segment=name, hint=hint)


def _batches(lines: Iterator[ReadLine]) -> Iterator[tuple[list[ShippedLine], ShipPosition | None]]:
    """Yield lines together with the position behind them; None where it would be inside a line."""
    batch: list[ShippedLine] = []
    size, position = 0, None
    for read in lines:
        batch.append(read.line)
        size += len(read.line.raw)
        position = read.position
        if len(batch) >= BATCH_LINES or size >= BATCH_BYTES:
            yield batch, position
            batch, size = [], 0
    if batch:
        yield batch, position


def _mark(segment: Segment) -> tuple[str, int, int] | None:
    """Return what changes when a segment does; None if it has just been compressed."""
    try:
        facts = segment.path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadRecord(str(segment.path), None, error.strerror or str(error)) from error
    return segment.path.name, facts.st_ino, facts.st_size


def _plain_size(segment: Segment) -> int:
    try:
        return 0 if segment.compressed else segment.path.stat().st_size
    except OSError:
        return 0
