"""The snapshot of one ledger: opened, compared with the ledger, read on, and asked for cells.

A state folder has one file for all its ledgers, so that a limit counts what a cell has spent in any of
them, also in those that are gone.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from cab.proxy.accounting.admission import REGISTRY_LOST
from cab.proxy.accounting.cell_state import CellState
from cab.proxy.accounting.windows import Windows, WindowSums, sums_of
from cab.proxy.errors import BadConfig, Rejected
from cab.proxy.ledger.scan import ResumePoint
from cab.proxy.ledger.segments import make_folder
from cab.proxy.ledger.snapshot.database import Database, StoredLedger
from cab.proxy.ledger.snapshot.fold import OpenCall, WholeReadNeeded
from cab.proxy.ledger.snapshot.positions import ChainRead, begins_of, fault_of, first_line_of
from cab.proxy.ledger.snapshot.reading import LedgerReader, Pause, chains_of
from cab.proxy.ledger.snapshot.rows import SUMS, CellRow
from cab.proxy.logs import RedactingLogger
from cab.scoring.errors import BadRecord
from cab.scoring.ledger.archive.checkpoints import ArchivedChain
from cab.scoring.ledger.segments import Segment
from cab.scoring.ledger.totals import CallTotals, Fields
from cab.scoring.ledger.zstd import Damaged

FILE_NAME = "totals.db"
_IN_MEMORY = ":memory:"
_BROKEN = ("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_ERROR")
_SETTLED_ROWS = 10_000

log = RedactingLogger()


class Snapshot:
    """What the cells of a ledger have spent; implements `StoredCells`.

    Opening it reads no more of the ledger than the segment in which reading ended last. If the ledger is
    not the one that was read, what was read is refused, which a line of the log says, and `catch_up` reads
    the ledger from its start.

    Args:
        state: The state folder; None keeps nothing for the next start.
        ledger: The ledger's folder.
    """

    def __init__(self, state: Path | None, ledger: Path) -> None:
        self._ledger = ledger
        self._open(state)
        try:
            self._match()
        except sqlite3.Error as error:
            _report(error, self._database.file)
            self.close()
            self._open(state if _is_broken(error) else None)

    def _open(self, state: Path | None) -> None:
        self._database = _opened(state)
        self.is_kept = self._database.file != _IN_MEMORY
        """Whether the next start finds it."""
        self._lookups = Database(self._database.file) if self.is_kept else self._database
        self._number: int | None = None
        self._instead_of: int | None = None
        self._removed: int | None = None

    def close(self) -> None:
        """Close the file."""
        self._lookups.close()
        self._database.close()

    def resume_points(self) -> dict[int, ResumePoint]:
        """Return where a recovery may begin to read, by worker."""
        if self._number is None:
            return {}
        try:
            calls = self._database.open_calls(self._number)
            chains = self._stored(self._number).chains
        except sqlite3.Error:
            return {}  # `catch_up` reports it
        return {worker: _resume_point(read, worker, calls) for worker, read in chains.items()}

    def catch_up(self) -> None:
        """Read all that the ledger holds and that was not read.

        Raises:
            OSError: The ledger cannot be read.
        """
        try:
            try:
                self.read_on()
            except WholeReadNeeded as needed:
                log.warning("snapshot_refused", ledger=str(self._ledger), reason=str(needed))
                self._remove(self._number or 0)
                self.read_on()
            self._settle()
        except sqlite3.Error as error:
            if not self.is_kept:
                raise
            _report(error, self._database.file)
            self.close()
            self._open(None)
            self.catch_up()

    def read_on(self, pause: Pause | None = None) -> None:
        """Read on, as far as that does not need the whole ledger.

        Args:
            pause: Is called now and then, to let others run.

        Raises:
            WholeReadNeeded: It does; nothing has changed.
            OSError: The ledger cannot be read.
            sqlite3.Error: The file cannot be written.
        """
        reader = LedgerReader(self._ledger, self._database, self._number, self._begin, pause)
        try:
            reader.read()
        finally:
            self._number = reader.number

    def load(self, cell_id: str | None) -> CellState | None:
        """Return a cell; see `StoredCells.load`."""
        try:
            rows, calls = self._lookups.rows_of(cell_id), self._lookups.open_calls_of(cell_id)
        except sqlite3.Error as error:
            _report(error, self._database.file)
            message = "what this cell has spent cannot be looked up; restart the proxy"
            raise Rejected(REGISTRY_LOST, message) from error
        if not rows and not calls:
            return None
        here = [start for ledger, start in calls if ledger == self._number]
        row = rows.pop(self._number or 0, CellRow())
        cell = _state(cell_id, row, here)
        others = sum((row.totals for row in rows.values()), CallTotals())
        for ledger, start in calls:
            if ledger != self._number:
                others.add(start)
        if cell_id is not None and (rows or others != CallTotals()):
            cell.elsewhere = others
            cell.sealed_elsewhere = not cell.sealed and any(row.sealed for row in rows.values())
            cell.sealed |= cell.sealed_elsewhere
        cell.windows = _windows(cell, [row, *rows.values()], [start for _, start in calls])
        return cell

    def page(self, prefix: str, after: str | None, limit: int | None) -> Iterable[CellState]:
        """Return the ledger's cells whose id begins with a text; see `StoredCells.page`."""
        if self._number is None:
            return []
        calls: dict[str | None, list[Fields]] = {}
        for _, start in self._lookups.open_calls(self._number).values():
            calls.setdefault(start.get("cell_id"), []).append(start)
        found: list[CellState] = []
        for cell_id, row in self._lookups.rows_from(self._number, max(prefix, after or "")):
            if not cell_id.startswith(prefix) or (limit is not None and len(found) >= limit):
                break
            if cell_id != after:
                found.append(_state(cell_id, row, calls.get(cell_id, [])))
        return found

    def _stored(self, number: int) -> StoredLedger:
        return next(each for each in self._database.ledgers() if each.id == number)

    def _match(self) -> None:
        """Find the ledger among those that were read, and see whether it is what it was."""
        ledgers = self._database.ledgers()
        try:
            chains = chains_of(self._ledger) if ledgers and self._ledger.is_dir() else {}
        except OSError:
            return  # the recovery says what is wrong with it
        try:
            archived = begins_of(self._ledger) if chains else {}
        except BadRecord as error:
            raise BadConfig(f"ledger {self._ledger} cannot be read: {error}") from error
        known_by = {
            worker: archived[worker].first_hash if worker in archived else _first_line(chain)
            for worker, chain in chains.items()
        }
        path = str(self._ledger.absolute())
        for stored in ledgers:
            reads = stored.chains.items()
            is_known = any(known_by.get(worker) == read.first_line for worker, read in reads)
            if not reads or not (is_known or stored.path == path):
                continue
            faults = [
                f"chain w{worker}: {fault}"
                for worker, read in reads
                if (fault := _fault(chains.get(worker), read, archived.get(worker))) is not None
            ]
            if is_known or not faults:
                self._accept(stored, faults)
                return
        if any(stored.path == path for stored in ledgers):
            log.warning("ledger_replaced", ledger=path, budgets="go on")

    def _accept(self, stored: StoredLedger, faults: list[str]) -> None:
        is_ours = stored.made_by == _rules()
        if is_ours and not faults:
            self._number = stored.id
            return
        reason = faults[0] if faults else f"it was made by other rules: {stored.made_by}"
        log.warning("snapshot_refused", ledger=str(self._ledger), reason=reason)
        if faults:
            self._instead_of = stored.id
        else:
            self._remove(stored.id)

    def _remove(self, number: int) -> None:
        self._removed, self._number = number, None
        self._instead_of = self._database.instead_of(number)

    def _begin(self) -> int:
        """Give the ledger a number; called in the transaction that stores the first of it."""
        if self._removed is not None:
            self._database.remove_ledger(self._removed)
        path = str(self._ledger.absolute())
        return self._database.add_ledger(_rules(), path, self._instead_of)

    def _settle(self) -> None:
        """Keep of what was read before and refused what the ledger does not have any more.

        So what a cell has spent does not become less because lines of the ledger are gone. Calls that were
        in flight then are left out.
        """
        number = self._number
        old = None if number is None else self._database.instead_of(number)
        if number is None or old is None:
            return
        with self._database as database:
            database.store_open_calls(old, {})
            database.remove_row(old, None)
            begin = ""
            while rows := list(database.rows_from(old, begin, _SETTLED_ROWS)):
                for cell_id, row in rows:
                    begin = cell_id + "\0"
                    rest = row.without(database.row(number, cell_id) or CellRow())
                    if rest is None:
                        database.remove_row(old, cell_id)
                    else:
                        database.store_rows(old, [(cell_id, rest)])
            database.forget_instead_of(number)


def _first_line(chain: list[Segment]) -> str | None:
    try:
        return first_line_of(chain)
    except (OSError, BadRecord, Damaged):
        return None


def _fault(
    chain: list[Segment] | None, read: ChainRead, archived: ArchivedChain | None
) -> str | None:
    try:
        return "it is missing" if chain is None else fault_of(chain, read, archived)
    except (OSError, BadRecord, Damaged) as error:
        return str(error)


def _state(cell_id: str | None, row: CellRow, starts: Iterable[Fields]) -> CellState:
    cell = CellState(cell_id, row.last_seq, row.sealed, row.totals)
    cell.largest_tokens = row.largest_tokens
    for start in starts:
        cell.add(start)  # nobody knows what it cost
    return cell


def _windows(cell: CellState, rows: Iterable[CellRow], starts: Iterable[Fields]) -> Windows:
    """Return the present windows of a cell, of all its ledgers."""
    sums = WindowSums()
    for row in rows:
        sums.merge(row.windows)
    for start in starts:
        totals = CallTotals()
        totals.add(start)
        sums.add_call(start, sums_of(totals, totals.calls))
    return Windows.of(sums, sums_of(cell.totals, cell.totals.calls))


def _resume_point(read: ChainRead, worker: int, calls: Mapping[str, OpenCall]) -> ResumePoint:
    # Of a damaged START nobody knows enough to write an END.
    starts = {
        call_id: call.start
        for call_id, call in calls.items()
        if call.worker == worker and call.start.get("kind") == "start"
    }
    at = read.position
    return ResumePoint(at.segment, at.line, at.begin, starts)


def _opened(state: Path | None) -> Database:
    """Return the file in a state folder; one in memory if that cannot be."""
    if state is None:
        return Database(_IN_MEMORY)
    file = state / FILE_NAME
    try:
        make_folder(state)
    except OSError:
        return Database(_IN_MEMORY)  # what else lies there says that it cannot be written
    try:
        try:
            return Database(file)
        except (sqlite3.DatabaseError, ValueError) as error:
            if not _is_broken(error):
                raise
            _report(error, file)
            return Database(file)
    except (sqlite3.Error, ValueError) as error:
        log.error("snapshot_unavailable", file=str(file), reason=str(error))
        return Database(_IN_MEMORY)


def _is_broken(error: Exception) -> bool:
    """Return whether a file cannot be used whatever happens; else it may be locked, or the disk full."""
    return isinstance(error, ValueError) or getattr(error, "sqlite_errorname", "") in _BROKEN


def _report(error: Exception, file: Path | str) -> None:
    """Report that a file cannot be used; a broken one is put aside, so that the next start makes another."""
    if not _is_broken(error):
        log.error("snapshot_unavailable", file=str(file), reason=str(error))
        return
    reason = f"{error}; what cells have spent in other ledgers than this one is not known any more"
    log.error("snapshot_refused", file=str(file), reason=reason)
    with suppress(OSError):
        path = Path(file)
        path.replace(path.with_name(f"{path.name}.refused"))
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def _rules() -> str:
    """Return by what rules rows are made; not the version of CAB, as most versions add up alike."""
    return f"sums {SUMS}"
