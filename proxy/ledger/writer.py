"""Writes one worker's chain: lines to the last segment, a new segment when it is time."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cab.proxy.clock import Clock
from cab.proxy.ledger.backlog import Backlog
from cab.proxy.ledger.chain import linked
from cab.proxy.ledger.compression import Compressor
from cab.proxy.ledger.lines import (
    EncodedRecord,
    Entry,
    UnfitRecord,
    fitting_line,
    record_of,
)
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


class Unsynced(NamedTuple):
    """What was written and may not be on disk yet."""

    entries: "list[Entry]"
    head: str
    """Hash of its last line."""
    size_bytes: int
    """Where that ends in the segment."""


class Writer:
    """Writes records of one chain, from one thread at a time.

    `put` writes, so that the death of this process loses nothing; `sync` makes durable what was
    written, so that a power cut does not either.

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
        """Hash of the last line that was written."""
        self.size_bytes = self.recovered.size_bytes
        self._durable = Unsynced([], self.head, self.size_bytes)
        self._unsynced: list[Entry] = []
        self.open_calls: dict[str, Entry] = {}
        """Calls whose START is on disk and whose END is not."""
        self.on_end: Callable[[dict[str, Any]], None] | None = None
        """Is given each END once it is on disk, on the thread that made it so."""
        self.on_sync: Callable[[int], None] | None = None
        """Is given how long each sync took that went well, in nanoseconds."""
        self._opening: dict[str, Any] = {}
        self._born_s = time.monotonic() - self._age_s()
        self._compressor = Compressor()
        for segment in segments(folder, worker):
            if not segment.compressed and segment.path != self.segment:
                self._compressor.add(segment.path)

    @property
    def is_full(self) -> bool:
        """Whether the next record belongs in a new segment."""
        if not self.size_bytes:
            return False
        age_s = time.monotonic() - self._born_s
        full = self.size_bytes >= self._options.segment_max_bytes
        return full or age_s >= self._options.segment_max_s

    def write(self, records: Sequence[Entry]) -> list[UnwritableRecord]:
        """Write records, and return once they are on disk; those that no reader would take are left out.

        Raises:
            OSError: The disk refused; none of the records counts as written.
        """
        if self.is_full:
            self.rotate()
        refused = self.put(records)
        self.sync(self.unsynced())
        return refused

    def put(self, records: Sequence[Entry]) -> list[UnwritableRecord]:
        """Write records to the segment, and leave out those that no reader would take.

        Raises:
            OSError: The disk refused; what was written since the last `sync` does not count.
        """
        if self.size_bytes or not self._opening:
            return self._put(records)
        opened = {"kind": "segment_open", "at": self._now(), **self._opening}
        return [UnwritableRecord(at - 1, reason) for at, reason in self._put([opened, *records])]

    def unsynced(self) -> Unsynced:
        """Return what was written since the last time; it is for `sync`."""
        unsynced = Unsynced(self._unsynced, self.head, self.size_bytes)
        self._unsynced = []
        return unsynced

    def sync(self, unsynced: Unsynced) -> None:
        """Return once what was written is on disk; another thread may write more meanwhile.

        Raises:
            OSError: The disk refused; what was written since the last time does not count.
        """
        began_ns = time.monotonic_ns()
        self._sync(self.file)
        if self.on_sync is not None:
            self.on_sync(time.monotonic_ns() - began_ns)
        self._durable = unsynced
        for entry in unsynced.entries:
            self._follow(entry)

    def resume(self, report: dict[str, Any], backlog: Backlog) -> None:
        """Go on after a failure, in a new segment whose first record reports it.

        Args:
            report: Members of that record.
            backlog: Records that the disk refused before.

        Raises:
            OSError: The disk refuses still.
        """
        # What stands behind the last durable record was reported as unwritten; the backlog has it.
        _, self.head, self.size_bytes = self._durable
        self._unsynced = []
        os.ftruncate(self.file, self.size_bytes)
        os.fsync(self.file)
        if self.size_bytes:
            self.rotate()
        record = {"kind": "recovery", "at": self._now(), **report, **self._opening}
        self._put([record, *backlog.held, *self._lost_ends(backlog)])
        self.sync(self.unsynced())

    def free_bytes(self) -> int:
        """Return how much space is left for the ledger."""
        state = os.fstatvfs(self.file)
        return state.f_bavail * state.f_frsize

    def close(self) -> None:
        """Close the segment and release the chain."""
        self._compressor.close()
        os.close(self.file)
        os.close(self._lock)

    def _put(self, records: Sequence[Entry]) -> list[UnwritableRecord]:
        lines: list[bytes] = []
        refused: list[UnwritableRecord] = []
        head = self.head.encode()
        for index, record in enumerate(records):
            if isinstance(record, EncodedRecord):
                line, head = linked(record.body, head)
            else:
                try:
                    line, digest = fitting_line(record, head.decode())
                except UnfitRecord as error:
                    refused.append(UnwritableRecord(index, str(error)))
                    continue
                head = digest.encode()
            lines.append(line)
        data = b"".join(lines)
        write_all(self.file, data)
        self.head = head.decode()
        self.size_bytes += len(data)
        if refused:
            left_out = {at for at, _ in refused}
            # What was refused ends its call all the same: nobody waits for its END.
            records = [r for at, r in enumerate(records) if at not in left_out or _is_end(r)]
        self._unsynced += records
        return refused

    def _follow(self, entry: Entry) -> None:
        record = record_of(entry)
        kind = record.get("kind")
        if kind == "start":
            self.open_calls[str(record.get("call_id"))] = entry
        elif kind == "end":
            self.open_calls.pop(str(record.get("call_id")), None)
            if self.on_end is not None:
                self.on_end(record)

    def _lost_ends(self, backlog: Backlog) -> list[dict[str, Any]]:
        message = "the end of this call was lost while the ledger could not be written"
        starts = {r["call_id"]: r for r in backlog.held if r.get("kind") == "start"}
        starts |= self._open_starts()
        return [crash_end(starts[c], self._now(), message) for c in backlog.unended if c in starts]

    def rotate(self) -> None:
        """Close the segment, all of which is on disk, and begin the next.

        Raises:
            OSError: The disk refused; nothing has changed.
        """
        path = next_segment(self.folder, self._worker)
        descriptor = create_segment(path)
        closed = self.segment
        self._opening = follows(closed, self.size_bytes, self._open_starts())
        os.close(self.file)
        self.segment, self.file, self.size_bytes = path, descriptor, 0
        self._durable = Unsynced([], self.head, 0)
        self._born_s = time.monotonic()
        self._compressor.add(closed)

    def _open_starts(self) -> dict[str, dict[str, Any]]:
        return {call_id: carried(record_of(e)) for call_id, e in self.open_calls.items()}

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


def _is_end(entry: Entry) -> bool:
    return record_of(entry).get("kind") == "end"
