"""Writes one worker's chain: lines to the last segment, a new segment when it is time."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cab.proxy.clock import Clock
from cab.proxy.ledger.backlog import Backlog
from cab.proxy.ledger.compression import Compressor
from cab.proxy.ledger.lines import UnfitRecord, fitting_line
from cab.proxy.ledger.recovery import crash_end, follows, naming_ledger, recover_chain
from cab.proxy.ledger.scan import ResumePoint, carried
from cab.proxy.ledger.segments import (
    create_segment,
    lock_chain,
    make_folder,
    next_segment,
    segments,
    write_all,
)
from cab.scoring.timestamps import rfc3339


@dataclass(frozen=True, slots=True)
class LedgerOptions:
    """How a ledger lays out its files, and what it does when the disk fails."""

    segment_max_bytes: int = 256 << 20
    """A segment is closed once it is larger."""
    segment_max_s: float = 86_400
    """A segment is closed once it is older."""
    min_free_bytes: int = 64 << 20
    """New calls are refused while less space is left."""
    on_failure: Literal["closed", "open"] = "closed"
    """`closed`: no new calls while the disk takes no records. `open`: calls go on without."""
    retry_s: float = 1.0
    """A disk that failed, or is nearly full, is tried again so often."""
    max_waiting: int = 8192
    """New calls are refused while more records wait for the disk."""
    resume: ResumePoint | None = None
    """Where the recovery may begin to read; None: it looks for the last place where it can."""


class UnwritableRecord(NamedTuple):
    """A record that no reader would take: no JSON, or too large, or without a valid place."""

    at: int
    """Its index among those that were handed over."""
    reason: str


class Writer:
    """Writes records of one chain, from one thread at a time.

    Args:
        folder: The ledger; made if missing.
        worker: Number of the writing process, part of the segments' names.
        sync: Makes a file's data durable.
        options: Sizes and ages.
        clock: Stamps the records that the writer adds.

    Raises:
        BadConfig: The folder cannot be written, or another proxy writes there.
    """

    def __init__(
        self,
        folder: Path,
        worker: int,
        sync: Callable[[int], None],
        options: LedgerOptions,
        clock: Clock,
    ) -> None:
        self.folder = folder
        self._worker = worker
        self._sync = sync
        self._options = options
        self._clock = clock
        with naming_ledger(folder):
            make_folder(folder)
            self._lock = lock_chain(folder, worker)
            try:
                self.recovered = recover_chain(folder, worker, clock, sync, options.resume)
                self.file = create_segment(self.recovered.segment)
            except BaseException:
                os.close(self._lock)
                raise
        self.segment = self.recovered.segment
        self.head = self.recovered.head
        self.size_bytes = self.recovered.size_bytes
        self.open_calls: dict[str, dict[str, Any]] = {}
        """Calls whose START is on disk and whose END is not."""
        self._opening: dict[str, Any] = {}
        self._born_s = time.monotonic() - self._age_s()
        self._compressor = Compressor()
        for segment in segments(folder, worker):
            if not segment.compressed and segment.path != self.segment:
                self._compressor.add(segment.path)

    def write(self, records: list[dict[str, Any]]) -> list[UnwritableRecord]:
        """Write records, and return once they are on disk; those that no reader would take are left out.

        Raises:
            OSError: The disk refused; none of the records counts as written.
        """
        age_s = time.monotonic() - self._born_s
        full = self.size_bytes >= self._options.segment_max_bytes
        if self.size_bytes and (full or age_s >= self._options.segment_max_s):
            self._next_segment()
        if self.size_bytes or not self._opening:
            return self._commit(records)
        opened = {"kind": "segment_open", "at": self._now(), **self._opening}
        return [UnwritableRecord(at - 1, reason) for at, reason in self._commit([opened, *records])]

    def resume(self, report: dict[str, Any], backlog: Backlog) -> None:
        """Go on after a failure, in a new segment whose first record reports it.

        Args:
            report: Members of that record.
            backlog: Records that the disk refused before.

        Raises:
            OSError: The disk refuses still.
        """
        # What stands behind the last durable record was reported as unwritten; the backlog has it.
        os.ftruncate(self.file, self.size_bytes)
        os.fsync(self.file)
        if self.size_bytes:
            self._next_segment()
        record = {"kind": "recovery", "at": self._now(), **report, **self._opening}
        self._commit([record, *backlog.held, *self._lost_ends(backlog)])

    def free_bytes(self) -> int:
        """Return how much space is left for the ledger."""
        state = os.fstatvfs(self.file)
        return state.f_bavail * state.f_frsize

    def close(self) -> None:
        """Close the segment and release the chain."""
        self._compressor.close()
        os.close(self.file)
        os.close(self._lock)

    def _commit(self, records: list[dict[str, Any]]) -> list[UnwritableRecord]:
        lines: list[bytes] = []
        refused: list[UnwritableRecord] = []
        head = self.head
        for index, record in enumerate(records):
            try:
                line, head = fitting_line(record, head)
            except UnfitRecord as error:
                refused.append(UnwritableRecord(index, str(error)))
            else:
                lines.append(line)
        data = b"".join(lines)
        write_all(self.file, data)
        self._sync(self.file)
        self.head = head
        self.size_bytes += len(data)
        self._follow(records)
        for at, _ in refused:
            self.open_calls.pop(str(records[at].get("call_id")), None)
        return refused

    def _follow(self, records: list[dict[str, Any]]) -> None:
        for record in records:
            kind, call_id = record.get("kind"), str(record.get("call_id"))
            if kind == "start":
                self.open_calls[call_id] = carried(record)
            elif kind == "end":
                self.open_calls.pop(call_id, None)

    def _lost_ends(self, backlog: Backlog) -> list[dict[str, Any]]:
        message = "the end of this call was lost while the ledger could not be written"
        starts = {r["call_id"]: r for r in backlog.held if r.get("kind") == "start"}
        starts |= self.open_calls
        return [crash_end(starts[c], self._now(), message) for c in backlog.unended if c in starts]

    def _next_segment(self) -> None:
        """Close the segment and begin the next; nothing has changed if the disk refuses."""
        path = next_segment(self.folder, self._worker)
        descriptor = create_segment(path)
        closed = self.segment
        self._opening = follows(closed, self.size_bytes, self.open_calls)
        os.close(self.file)
        self.segment, self.file, self.size_bytes = path, descriptor, 0
        self._born_s = time.monotonic()
        self._compressor.add(closed)

    def _age_s(self) -> float:
        """Return how old the segment is that writing goes on in, as far as its records say so."""
        try:
            began = datetime.fromisoformat(self.recovered.began_at or "")
        except ValueError:
            return 0.0
        if began.tzinfo is None:
            return 0.0
        return max(0.0, self._clock.wall_ns() / 1e9 - began.timestamp())

    def _now(self) -> str:
        return rfc3339(self._clock.wall_ns())
