"""The append-only, hash-chained ledger: many waiting calls per write, and per sync.

All records that come in one turn of the event loop are chained and written at its end, on the loop:
a write into the memory of the system takes microseconds, and from then on no death of this process
can lose them. A thread makes them durable, and then wakes those who wait for that. So there are two
moments of a record: it is *written*, and it is *on disk*.

A disk that fails does not end the ledger: records wait in a bounded backlog, the disk is tried
again, and the first record that it takes reports the gap. Meanwhile `on_failure` decides: new
calls are refused ("closed"), or go on without a record, loudly ("open").
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from cab.proxy.clock import Clock
from cab.proxy.errors import LedgerFailed
from cab.proxy.ledger.backlog import Backlog
from cab.proxy.ledger.disk_thread import DiskThread, Done, Work
from cab.proxy.ledger.lines import Entry, record_of
from cab.proxy.ledger.recovery import Recovered
from cab.proxy.ledger.writer import LedgerOptions, Unsynced, UnwritableRecord, Writer
from cab.proxy.logs import RedactingLogger
from cab.proxy.system.durable import sync_data
from cab.scoring.ledger.clipping import bounded
from cab.scoring.timestamps import rfc3339

SEAL = "cell_seal"
"""Kind of the record that closes a cell."""

_STALL_S = 0.05
"""A write takes microseconds, unless the system has more to write than the disk takes."""
_BESIDE_S = 10.0
"""How long the event loop does not write itself after such a stall."""
_LOOK_S = 1.0
"""How often the free space is looked at while records are written."""

log = RedactingLogger()

Written = Callable[[], None]
OnDisk = Callable[[LedgerFailed | None], None]


class _Waiting:
    """A record, and who waits for it."""

    __slots__ = ("entry", "is_written", "on_disk", "written")

    def __init__(self, entry: Entry, written: Written | None, on_disk: OnDisk | None) -> None:
        self.entry = entry
        self.written = written
        self.on_disk = on_disk
        self.is_written = False

    def answer(self, error: LedgerFailed | None) -> None:
        """Say that the record is on disk, or why not."""
        if error is None and not self.is_written and self.written is not None:
            self.written()
        if self.on_disk is not None:
            self.on_disk(error)


class _Failure(NamedTuple):
    """Why the disk takes no records, and since when."""

    reason: str
    since: str


class Started(NamedTuple):
    """The two moments of a record."""

    written: asyncio.Future[None]
    """Done once no death of this process can lose it."""
    on_disk: asyncio.Future[None]
    """Done once no loss of power can."""


class Ledger:
    """Takes records on the event loop and answers when they are written, and on disk.

    Args:
        folder: Where the segments lie; made if missing.
        worker: Number of the writing process, part of the segments' names.
        sync: Makes a file's data durable; an argument so that tests can make it slow or fail.
        options: Sizes, ages, and what to do when the disk fails.
        clock: Stamps what the ledger itself records.

    Raises:
        BadConfig: The folder cannot be written, or another proxy writes there.
    """

    def __init__(
        self,
        folder: Path,
        worker: int = 0,
        sync: Callable[[int], None] = sync_data,
        options: LedgerOptions | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.folder = folder
        self._options = options or LedgerOptions()
        self._clock = clock or Clock()
        self._writer = Writer(folder, worker, sync, self._options, self._clock)
        self._loop = asyncio.get_running_loop()
        self._thread = DiskThread()
        self._pending: list[_Waiting] = []
        """Records that are not written yet."""
        self._unsynced: list[_Waiting] = []
        """Those that are written, and that no sync has begun for."""
        self._syncing = False
        self._in_sync = 0
        """How many records a sync has begun for."""
        self._is_busy = False
        """Whether the thread has the segment for itself: nothing may be written meanwhile."""
        self._flush_is_due = False
        self._slow_until = 0.0
        self._idle = asyncio.Event()
        self._idle.set()
        self._backlog = Backlog()
        self._failure: _Failure | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._lost_before = 0
        self._overrun = 0
        self._low_space: str | None = None
        self._look_at = time.monotonic()
        self._look_at_space()
        if self.recovered.found:
            log.warning("ledger_recovered", **_summary(self.recovered))

    @property
    def recovered(self) -> Recovered:
        """What was found when the ledger was opened."""
        return self._writer.recovered

    @property
    def segment(self) -> Path:
        """The segment that is being written."""
        return self._writer.segment

    @property
    def failure(self) -> str | None:
        """What is wrong with the ledger now; None while it works."""
        if self._failure is not None:
            return self._failure.reason
        if self._low_space is not None:
            return self._low_space
        if self._is_slow:
            waiting = len(self._pending) + len(self._unsynced)
            return f"ledger {self.folder}: {waiting} records wait for the disk; it is too slow"
        return None

    @property
    def refusal(self) -> str | None:
        """Why no new calls are taken; None while they are."""
        return None if self._options.on_failure == "open" else self.failure

    @property
    def unwritten_records(self) -> int:
        """How many records calls went on without: they wait for the disk, or are lost."""
        return self.lost_records + len(self._backlog.held)

    @property
    def waiting_records(self) -> int:
        """How many records are not on disk yet; calls wait for them."""
        return len(self._pending) + len(self._unsynced) + self._in_sync

    def watch(
        self, on_end: Callable[[dict[str, Any]], None], on_sync: Callable[[int], None]
    ) -> None:
        """Have somebody told what becomes durable, on another thread.

        Args:
            on_end: Is given each END once it is on disk, before anybody else is told so.
            on_sync: Is given how long each sync took, in nanoseconds.
        """
        self._writer.on_end, self._writer.on_sync = on_end, on_sync

    def open_starts(self) -> list[dict[str, Any]]:
        """Return the STARTs on disk of calls whose END is not."""
        # Copied in one step: the thread that syncs changes it.
        return [record_of(entry) for entry in list(self._writer.open_calls.values())]

    @property
    def lost_records(self) -> int:
        """How many records no disk will ever have."""
        return self._lost_before + self._backlog.lost + self._overrun

    def append(self, record: dict[str, Any]) -> asyncio.Future[None]:
        """Return a future that is done when the record is on disk.

        Args:
            record: The members of the line but `schema`, `prev` and `hash`; JSON values only. What is
                too long in it is clipped.

        Raises:
            LedgerFailed: From the future, when the disk refused the record, or when a new call
                must not start; with `on_failure = "open"` only of a seal, and of what no reader takes.
        """
        done: asyncio.Future[None] = self._loop.create_future()
        self.put(bounded(record), None, partial(_settle, done))
        return done

    def start(self, record: dict[str, Any], *, takes_place: bool = True) -> Started:
        """Return when the START of a call is written, and when it is on disk.

        Args:
            record: As for `append`.
            takes_place: Whether the call takes place once it is written, so that it is kept even if the
                disk refuses it then; else there is no call before it is on disk, and both are the same.

        Raises:
            LedgerFailed: From both futures if the call must not start, from `on_disk` if the disk
                refused the record later.
        """
        written: asyncio.Future[None] = self._loop.create_future()
        on_disk: asyncio.Future[None] = self._loop.create_future()
        on_disk.add_done_callback(_retrieve)

        def failed_or_done(error: LedgerFailed | None) -> None:
            _settle(on_disk, error)
            _settle(written, error)

        tell = partial(_settle, written, None) if takes_place else None
        self.put(bounded(record), tell, failed_or_done)
        return Started(written, on_disk)

    def put(self, entry: Entry, written: Written | None, on_disk: OnDisk | None) -> None:
        """Take a record, and tell when it is written and when it is on disk.

        Args:
            entry: Within its bounds.
            written: Called when no death of this process can lose it any more; of a START, this makes
                the call take place. None where the call takes place once the record is on disk.
            on_disk: Called when no loss of power can lose it either, or with why it is refused: that
                may be before this method returns.
        """
        waiting = _Waiting(entry, written, on_disk)
        if self._failure is not None or self._low_space is not None or self._is_slow:
            kind = record_of(entry).get("kind")
            if kind == "start" and (refusal := self.refusal) is not None:
                waiting.answer(LedgerFailed(refusal))
                return
            if self._options.on_failure == "open" and kind != SEAL and self._is_slow:
                self._overrun += 1
                waiting.answer(None)
                return
        self._pending.append(waiting)
        if not self._flush_is_due:
            self._flush_is_due = True
            self._idle.clear()
            self._loop.call_soon(self._flush)

    async def close(self) -> None:
        """Write what is queued, stop the thread and release the folder."""
        await self._idle.wait()
        self._stop_timer()
        if self._failure is not None:
            self._try_again()
            await self._idle.wait()
            self._stop_timer()
        if self._failure is not None:
            lost = self.unwritten_records
            log.error("ledger_records_lost", lost=lost, reason=self._failure.reason)
        await self._thread.close()
        self._writer.close()

    @property
    def _is_slow(self) -> bool:
        return len(self._pending) + len(self._unsynced) > self._options.max_waiting

    def _flush(self) -> None:
        """Write what came in this turn of the loop, and begin what is due now."""
        self._flush_is_due = False
        if self._is_busy:
            return  # once that is done, this comes again
        if self._failure is not None:
            self._refuse(self._pending)
            self._pending = []
        elif self._pending and self._writer.is_full:
            if not self._unsynced and not self._syncing:
                self._run_alone(self._writer.rotate, self._rotated)
                return
        elif self._pending and time.monotonic() < self._slow_until:
            if not self._unsynced and not self._syncing:
                self._write_beside()
                return
        elif self._pending:
            self._write()
        if self._syncing:
            return
        if self._unsynced:
            self._sync()
        elif not self._pending:
            self._idle.set()

    def _write(self) -> None:
        batch, self._pending = self._pending, []
        began_s = time.monotonic()
        try:
            refused = self._writer.put([waiting.entry for waiting in batch])
        except Exception as error:  # noqa: BLE001 - whatever it was, it must reach the callers
            # Those that are written already are behind the last one on disk, and are cut off too.
            batch, self._unsynced = self._unsynced + batch, []
            self._fail(error)
            self._refuse(batch)
            return
        now_s = time.monotonic()
        if now_s - began_s > _STALL_S:
            self._slow_until = now_s + _BESIDE_S
        self._unsynced += self._told_of_writing(batch, refused)

    def _told_of_writing(
        self, batch: list[_Waiting], refused: Sequence[UnwritableRecord]
    ) -> list[_Waiting]:
        """Tell those who wait that their records are written, or refused; return the former."""
        for at, reason in reversed(refused):
            batch.pop(at).answer(LedgerFailed(f"a record cannot be written {reason}"))
        for waiting in batch:
            waiting.is_written = True
            if waiting.written is not None:
                _guarded(waiting.written)
        return batch

    def _write_beside(self) -> None:
        """Write and sync on the thread: a write of this disk has just held up the event loop."""
        batch, self._pending = self._pending, []
        refused: list[UnwritableRecord] = []

        def work() -> None:
            refused.extend(self._writer.put([waiting.entry for waiting in batch]))
            self._writer.sync(self._writer.unsynced())
            self._look_at_space()

        self._in_sync = len(batch)
        self._run_alone(work, partial(self._written_beside, batch, refused))

    def _written_beside(
        self, batch: list[_Waiting], refused: list[UnwritableRecord], error: Exception | None
    ) -> None:
        self._in_sync = 0
        if error is not None:
            self._fail(error)
            self._refuse(batch)
            return
        for waiting in self._told_of_writing(batch, refused):
            _guarded(waiting.answer, None)

    def _sync(self) -> None:
        batch, self._unsynced = self._unsynced, []
        self._syncing, self._in_sync = True, len(batch)
        self._thread.run(
            partial(self._sync_and_look, self._writer.unsynced()), partial(self._synced, batch)
        )

    def _sync_and_look(self, unsynced: Unsynced) -> None:
        self._writer.sync(unsynced)
        self._look_at_space()

    def _synced(self, batch: list[_Waiting], error: Exception | None) -> None:
        self._syncing, self._in_sync = False, 0
        if error is None:
            for waiting in batch:
                try:
                    waiting.answer(None)
                except Exception:
                    log.exception("record_not_answered")
        else:
            batch, self._unsynced = batch + self._unsynced, []
            self._fail(error)
            self._refuse(batch)
        self._flush()

    def _run_alone(self, work: Work, done: Done) -> None:
        """Have the thread do something with the segment while nothing is written to it."""
        self._is_busy = True
        self._idle.clear()

        def finished(error: Exception | None) -> None:
            self._is_busy = False
            done(error)
            self._flush()

        self._thread.run(work, finished)

    def _rotated(self, error: Exception | None) -> None:
        if error is not None:
            self._fail(error)

    def _refuse(self, batch: Sequence[_Waiting]) -> None:
        """Keep records for when the disk takes them again, or refuse them."""
        is_open = self._options.on_failure == "open"
        failed = LedgerFailed(self.failure or "the ledger cannot be written")
        for waiting in batch:
            record = record_of(waiting.entry)
            kind = record.get("kind")
            if kind == SEAL:
                # Its cell opens again: a seal that is written later would deny what was called since.
                waiting.answer(failed)
                continue
            # A call whose START is refused does not take place, so there is nothing to keep.
            takes_place = waiting.is_written and waiting.written is not None
            if is_open or kind != "start" or takes_place:
                self._backlog.take(record, self._writer.open_calls)
            waiting.answer(None if is_open else failed)

    def _fail(self, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or str(error)
        since = self._failure.since if self._failure else rfc3339(self._clock.wall_ns())
        if self._failure is None:
            log.error("ledger_failed", segment=self.segment.name, reason=reason)
        self._failure = _Failure(f"ledger {self.segment}: {reason}", since)
        self._look_again_later()

    def _look_again_later(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(self._options.retry_s, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        if self._is_busy or self._syncing:
            self._look_again_later()
        elif self._failure is not None:
            self._try_again()
        else:
            self._thread.run(self._look_at_space, self._looked)

    def _looked(self, _error: Exception | None) -> None:
        if self._low_space is not None:
            self._look_again_later()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _try_again(self) -> None:
        failure = self._failure
        if failure is None:
            return
        backlog, lost = self._backlog, self._backlog.lost + self._overrun
        report: dict[str, Any] = {"failure": failure.reason, "failed_at": failure.since}
        report |= {"late_records": len(backlog.held), "lost_records": lost}
        resume = partial(self._writer.resume, report, backlog)
        self._run_alone(resume, partial(self._resumed, report))

    def _resumed(self, report: dict[str, Any], error: Exception | None) -> None:
        lost = report["lost_records"]
        if error is not None:  # the disk refuses still, in whatever way
            self._fail(error)
            if lost and self._failure is not None:
                log.error("ledger_records_lost", lost=lost, reason=self._failure.reason)
            return
        log.warning("ledger_resumed", **report)
        self._lost_before += self._backlog.lost
        self._backlog.clear()
        self._failure = None

    def _look_at_space(self) -> None:
        """See whether the disk is nearly full; asking costs a call of the system, so not always."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + min(_LOOK_S, self._options.retry_s)
        free, needed = self._writer.free_bytes(), self._options.min_free_bytes
        was_low, self._low_space = self._low_space is not None, None
        if free < needed:
            self._low_space = (
                f"ledger {self.folder}: {free} bytes are free and min_free_bytes is {needed}; "
                "make space"
            )
            if not was_low:
                log.error("disk_nearly_full", free_bytes=free, min_free_bytes=needed)
                self._loop.call_soon_threadsafe(self._look_again_later)


def _guarded(tell: Callable[..., None], *values: object) -> None:
    """Tell one who waits; a fault there must not keep the others from being told."""
    try:
        tell(*values)
    except Exception:
        log.exception("record_not_answered")


def _settle(done: asyncio.Future[None], error: LedgerFailed | None) -> None:
    if done.done():  # the call that waited was cancelled
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)


def _retrieve(done: asyncio.Future[None]) -> None:
    """Look at a future's outcome, so that asyncio does not warn that nobody did."""
    if not done.cancelled():
        done.exception()


def _summary(recovered: Recovered) -> dict[str, Any]:
    return {
        "clean_stop": recovered.clean_stop,
        "crash_ends": recovered.crash_ends,
        "torn_bytes": recovered.torn_bytes,
        "damaged_lines": recovered.damaged_lines,
        "segment": recovered.segment.name,
    }
