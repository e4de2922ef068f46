"""The append-only, hash-chained ledger: one writer thread, many waiting calls per sync.

A record is handed over on the event loop; the thread chains it, writes it, syncs the file and then
wakes all calls whose records went with it. Nothing here blocks the loop.

A disk that fails does not end the ledger: records wait in a bounded backlog, the disk is tried
again, and the first record that it takes reports the gap. Meanwhile `on_failure` decides: new
calls are refused ("closed"), or go on without a record, loudly ("open").
"""

import asyncio
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from cab.proxy.clock import Clock
from cab.proxy.errors import LedgerFailed
from cab.proxy.ledger.backlog import Backlog
from cab.proxy.ledger.recovery import Recovered
from cab.proxy.ledger.writer import LedgerOptions, Writer
from cab.proxy.logs import RedactingLogger
from cab.scoring.ledger.clipping import bounded
from cab.scoring.timestamps import rfc3339

SEAL = "cell_seal"
"""Kind of the record that closes a cell."""

_LOOK_S = 1.0
"""How often the free space is looked at while records are written."""

log = RedactingLogger()


class _Waiting(NamedTuple):
    record: dict[str, Any]
    done: asyncio.Future[None]


class _Failure(NamedTuple):
    """Why the disk takes no records, and since when."""

    reason: str
    since: str


class Ledger:
    """Takes records on the event loop and answers when they are on disk.

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
        sync: Callable[[int], None] = os.fdatasync,
        options: LedgerOptions | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.folder = folder
        self._options = options or LedgerOptions()
        self._clock = clock or Clock()
        self._writer = Writer(folder, worker, sync, self._options, self._clock)
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._backlog = Backlog()
        self._failure: _Failure | None = None
        self._lost_before = 0
        self._overrun = 0
        self._low_space: str | None = None
        self._retry_at = self._look_at = time.monotonic()
        self._look_at_space()
        if self.recovered.found:
            log.warning("ledger_recovered", **_summary(self.recovered))
        self._thread = threading.Thread(target=self._run, name="cab-ledger", daemon=True)
        self._thread.start()

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
        if (waiting := self._queue.qsize()) > self._options.max_waiting:
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
        done = self._loop.create_future()
        is_open = self._options.on_failure == "open" and record.get("kind") != SEAL
        record = bounded(record)
        if record.get("kind") == "start" and (refusal := self.refusal) is not None:
            done.set_exception(LedgerFailed(refusal))
        elif is_open and self._queue.qsize() > self._options.max_waiting:
            self._overrun += 1
            done.set_result(None)
        else:
            self._queue.put(_Waiting(record, done))
        return done

    async def close(self) -> None:
        """Write what is queued, stop the thread and release the folder."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._writer.close()

    def _run(self) -> None:
        stop = False
        while not stop:
            batch, stop = self._take()
            if batch:
                self._commit(batch)
            if self._failure is not None and (stop or time.monotonic() >= self._retry_at):
                self._try_again()
            self._look_at_space()
        if self._failure is not None:
            lost = self.unwritten_records
            log.error("ledger_records_lost", lost=lost, reason=self._failure.reason)

    def _take(self) -> tuple[list[_Waiting], bool]:
        """Return all records that wait now, and whether the queue was closed.

        There is at least one, except while the ledger fails: then the wait is short.
        """
        batch: list[_Waiting] = []
        failing = self._failure is not None or self._low_space is not None
        try:
            item = self._queue.get(timeout=self._options.retry_s if failing else None)
            while item is not None:
                batch.append(item)
                item = self._queue.get_nowait()
        except queue.Empty:
            return batch, False
        return batch, True

    def _commit(self, batch: list[_Waiting]) -> None:
        if self._failure is None:
            try:
                refused = self._writer.write([waiting.record for waiting in batch])
            except Exception as error:  # noqa: BLE001 - whatever it was, it must reach the callers
                self._fail(error)
            else:
                for at, reason in reversed(refused):
                    self._answer([batch.pop(at)], f"a record cannot be written {reason}")
                self._answer(batch, None)
                return
        is_open = self._options.on_failure == "open"
        for waiting in batch:
            kind = waiting.record.get("kind")
            if kind == SEAL:
                # Its cell opens again: a seal that is written later would deny what was called since.
                self._answer([waiting], self.failure)
                continue
            # A call whose START is refused does not take place, so there is nothing to keep.
            if is_open or kind != "start":
                self._backlog.take(waiting.record, self._writer.open_calls)
            self._answer([waiting], None if is_open else self.failure)

    def _fail(self, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or str(error)
        since = self._failure.since if self._failure else rfc3339(self._clock.wall_ns())
        if self._failure is None:
            log.error("ledger_failed", segment=self.segment.name, reason=reason)
        self._failure = _Failure(f"ledger {self.segment}: {reason}", since)
        self._retry_at = time.monotonic() + self._options.retry_s

    def _try_again(self) -> None:
        failure = self._failure
        if failure is None:
            return
        backlog, lost = self._backlog, self._backlog.lost + self._overrun
        report: dict[str, Any] = {"failure": failure.reason, "failed_at": failure.since}
        report |= {"late_records": len(backlog.held), "lost_records": lost}
        try:
            self._writer.resume(report, backlog)
        except Exception as error:  # noqa: BLE001 - the disk refuses still, in whatever way
            self._fail(error)
            if lost:
                log.error("ledger_records_lost", lost=lost, reason=failure.reason)
            return
        log.warning("ledger_resumed", **report)
        self._lost_before += backlog.lost
        backlog.clear()
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

    def _answer(self, batch: list[_Waiting], failure: str | None) -> None:
        self._loop.call_soon_threadsafe(_wake, batch, failure)


def _wake(batch: list[_Waiting], failure: str | None) -> None:
    for _, done in batch:
        if done.done():  # the call that waited was cancelled
            continue
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(LedgerFailed(failure))


def _summary(recovered: Recovered) -> dict[str, Any]:
    return {
        "clean_stop": recovered.clean_stop,
        "crash_ends": recovered.crash_ends,
        "torn_bytes": recovered.torn_bytes,
        "damaged_lines": recovered.damaged_lines,
        "segment": recovered.segment.name,
    }
