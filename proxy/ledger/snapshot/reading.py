"""Reads a ledger on from where reading ended, and stores what that adds."""

import os
from collections.abc import Callable
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import orjson

from cab.proxy.errors import BadConfig
from cab.proxy.ledger.scan import stated_size
from cab.proxy.ledger.segments import segments
from cab.proxy.ledger.snapshot.database import Database
from cab.proxy.ledger.snapshot.fold import Fold, OpenCall, WholeReadNeeded
from cab.proxy.ledger.snapshot.positions import ChainRead, Position, begins_of, first_line_of
from cab.proxy.ledger.snapshot.rows import CellRow
from cab.proxy.logs import RedactingLogger
from cab.proxy.system.durable import sync_data
from cab.scoring.errors import BadRecord
from cab.scoring.ledger.archive.checkpoints import cell_rows, checkpoints
from cab.scoring.ledger.bounds import BrokenLine
from cab.scoring.ledger.chain import Links
from cab.scoring.ledger.reading import damaged_fields
from cab.scoring.ledger.records import parse_fields
from cab.scoring.ledger.segments import Segment, segment_lines
from cab.scoring.ledger.zstd import Damaged

BATCH_LINES = 50_000
"""What was read is stored so often, so that memory does not grow with the ledger."""
_PAUSE_LINES = 32
"""Not more at once beside calls: they wait for the interpreter as long."""

log = RedactingLogger()

Pause = Callable[[], None]


def chains_of(folder: Path) -> dict[int, list[Segment]]:
    """Return the segments of a ledger, by worker.

    Raises:
        OSError: The folder cannot be listed.
    """
    grouped = groupby(segments(folder), lambda segment: segment.worker)
    return {worker: list(chain) for worker, chain in grouped}


class _Chain(NamedTuple):
    worker: int
    segments: list[Segment]
    links: Links


class LedgerReader:
    """Reads what a ledger holds behind a stored state, and stores it.

    Args:
        folder: The ledger.
        database: Takes the state.
        number: Of the ledger there; None: it is to be read from its start.
        begin: Gives the ledger a number when there is something to store; called in the transaction.
        pause: Is called now and then, to let others run.
    """

    def __init__(
        self,
        folder: Path,
        database: Database,
        number: int | None,
        begin: Callable[[], int],
        pause: Pause | None = None,
    ) -> None:
        self._folder = folder
        self._database = database
        self._begin = begin
        self._pause = pause
        self.number = number
        """Of the ledger in the database; None while nothing is stored."""
        self._chains: dict[int, ChainRead] = {}
        self._to_sync: set[Path] = set()
        calls: dict[str, OpenCall] = {}
        if number is not None:
            self._chains = next(each.chains for each in database.ledgers() if each.id == number)
            calls = database.open_calls(number)
        self._fold = Fold(self._row, calls, whole=number is None)
        self._lines: int = 0
        self._stored_lines: int = 0

    def read(self) -> None:
        """Read all that is there, and store it.

        Raises:
            WholeReadNeeded: The ledger must be read from its start; what was stored before is as it was.
            OSError: A segment cannot be read.
            sqlite3.Error: The state cannot be stored.
        """
        if self.number is None:
            self._begin_behind_archives()
        for worker, chain in chains_of(self._folder).items():
            self._read_chain(_Chain(worker, chain, Links()))
        self._store()

    def _begin_behind_archives(self) -> None:
        """Store what the archived part of the ledger has come to, as its checkpoints state it."""
        try:
            archives = [each for each in checkpoints(self._folder) if not each.is_in_archive]
            if not archives:
                return
            with self._database as database:
                number = self._begin()
                for each in archives:
                    for cell_id, sums in cell_rows(each):
                        row = CellRow.unpacked(orjson.dumps(sums))
                        before = database.row(number, cell_id)
                        rows = [(cell_id, row if before is None else before.joined(row))]
                        database.store_rows(number, rows)
                for worker, chain in begins_of(self._folder).items():
                    at = Position(chain.last_segment, 0, 0, 0, chain.hash)
                    self._chains[worker] = ChainRead(chain.first_segment, chain.first_hash, at)
                database.store_chains(number, self._chains)
        except BadRecord as error:
            raise BadConfig(f"ledger {self._folder} cannot be read: {error}") from error
        self.number = number

    def _row(self, cell_id: str | None) -> CellRow:
        return self._database.row(self.number, cell_id) or CellRow()

    def _read_chain(self, chain: _Chain) -> None:
        read, links = self._chains.get(chain.worker), chain.links
        at = None if read is None else read.position
        if at is not None:
            links.head = at.head.encode()
        elif self._fold.whole:
            links.next_segment(gap=True)  # whatever it begins with
        for segment in chain.segments:
            if at is not None and segment.number < at.segment:
                continue
            is_new = at is None or segment.number > at.segment
            if not is_new and at is not None and _was_read(chain.segments, segment, at):
                continue
            if is_new:
                links.next_segment()
            try:
                self._read_segment(chain, segment, None if is_new else at)
            except BadRecord as error:
                self._need_whole(f"{segment.path.name} cannot be read")
                log.error("segment_unreadable", segment=segment.path.name, reason=str(error))
                links.next_segment(gap=True)

    def _read_segment(self, chain: _Chain, segment: Segment, at: Position | None) -> None:
        number, offset = (at.line, at.end) if at else (0, 0)
        is_whole, damaged, reason = True, 0, ""
        self._to_sync.add(segment.path)
        for line in segment_lines(segment.path, offset):
            number += 1
            if isinstance(line, BrokenLine):
                is_whole = False  # where the next one begins is not known
            elif not line.endswith(b"\n"):
                if segment is not chain.segments[-1]:
                    self._need_whole("a line that is cut off")
                break
            holds = chain.links.check(line) is None
            if not holds:
                self._need_whole("a line that does not hold")
            begin, offset = offset, offset + len(line)
            fault = self._take(chain.worker, line, segment, number)
            damaged, reason = damaged + (fault is not None), reason or fault or ""
            if holds and is_whole:
                head = chain.links.head.decode()
                self._move(chain, Position(segment.number, number, begin, offset, head))
            self._rest(may_store=holds and is_whole)
        if damaged:
            name = segment.path.name
            log.error("lines_passed_over", segment=name, damaged_lines=damaged, first=reason)

    def _take(self, worker: int, line: bytes, segment: Segment, number: int) -> str | None:
        """Take a line; return what is wrong with it."""
        self._lines += 1
        try:
            self._fold.take(worker, parse_fields(line, segment.path.name, number))
        except BadRecord as error:
            self._need_whole("a damaged line")
            known = damaged_fields(line)
            if "call_id" in known:
                self._fold.take(worker, known)
            return str(error)
        return None

    def _move(self, chain: _Chain, position: Position) -> None:
        read = self._chains.get(chain.worker)
        if read is None:
            first = chain.segments[0].number
            first_line = first_line_of(chain.segments) or ""  # nothing of this chain is archived
            self._chains[chain.worker] = ChainRead(first, first_line, position)
        else:
            self._chains[chain.worker] = read._replace(position=position)

    def _rest(self, *, may_store: bool) -> None:
        if self._pause is not None and self._lines % _PAUSE_LINES == 0:
            self._pause()
        if may_store and self._lines - self._stored_lines >= BATCH_LINES:
            self._store()

    def _need_whole(self, reason: str) -> None:
        if not self._fold.whole:
            raise WholeReadNeeded(reason)

    def _store(self) -> None:
        if self._lines == self._stored_lines:
            return
        for path in self._to_sync:
            _sync(path)
        with self._database as database:
            number = self._begin() if self.number is None else self.number
            database.store_rows(number, self._fold.rows.items())
            database.store_chains(number, self._chains)
            database.store_open_calls(number, self._fold.open_calls)
        self.number = number
        self._fold.rows.clear()
        self._to_sync.clear()
        self._stored_lines = self._lines


def _was_read(chain: list[Segment], segment: Segment, at: Position) -> bool:
    """Return whether a segment was read to its end: then it need not be unpacked to see that."""
    after = next((each for each in chain if each.number == segment.number + 1), None)
    try:
        return after is not None and segment.compressed and stated_size(after) == at.end
    except (BadRecord, Damaged):
        return False


def _sync(path: Path) -> None:
    """Make what was read of a segment durable: its writer may not have come to that yet."""
    with suppress(FileNotFoundError):  # it has been compressed, after it was made durable
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            sync_data(descriptor)
        finally:
            os.close(descriptor)
