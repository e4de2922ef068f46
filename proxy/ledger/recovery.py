"""Brings a ledger back in order after a stop of any kind, and says in the ledger what it found.

Nothing is dropped: what is cut off is kept beside the segment (`*.torn`), damaged lines stay where
they are, and the chain goes on behind them in a new segment.
"""

import hashlib
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cab.proxy.clock import Clock
from cab.proxy.errors import BadConfig
from cab.proxy.ledger.lines import fitting_line
from cab.proxy.ledger.scan import (
    FOLLOWS,
    OPEN_CALLS,
    Problem,
    ResumePoint,
    Scan,
    carried,
    scan_chain,
)
from cab.proxy.ledger.segments import (
    create_segment,
    lock_chain,
    next_segment,
    segments,
    sync_folder,
    write_all,
)
from cab.proxy.system.durable import sync_data
from cab.scoring.errors import BadRecord
from cab.scoring.ledger.clipping import bounded
from cab.scoring.ledger.zstd import Damaged
from cab.scoring.timestamps import rfc3339

_COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Recovered:
    """A worker's chain after recovery, and what was found in it."""

    worker: int
    segment: Path
    """Where writing goes on."""
    head: str
    size_bytes: int
    began_at: str | None
    """When that segment's first record was written, as far as it says so."""
    clean_stop: bool
    crash_ends: int
    """Calls that had a START and no END, and now have one."""
    torn_bytes: int
    torn_file: Path | None
    """Where the bytes of a torn last line are now."""
    problems: list[Problem]
    damaged_lines: int

    @property
    def found(self) -> bool:
        """Whether anything was out of order."""
        return bool(self.crash_ends or self.torn_bytes or self.damaged_lines or not self.clean_stop)


def recover(
    folder: Path,
    clock: Clock | None = None,
    resume: Mapping[int, ResumePoint] | None = None,
    *,
    skip_busy: bool = False,
) -> list[Recovered]:
    """Recover every worker's chain of a ledger that no proxy writes to.

    Args:
        folder: The ledger.
        clock: Stamps the records; an argument so that tests can hand in theirs.
        resume: Where reading may begin, by worker.
        skip_busy: Leave chains out that a running proxy writes to.

    Raises:
        BadConfig: A proxy writes to the ledger, or it cannot be read or written.
    """
    done: list[Recovered] = []
    with naming_ledger(folder):
        workers = {segment.worker for segment in segments(folder)}
        for worker in sorted(workers):
            try:
                lock = lock_chain(folder, worker)
            except BadConfig:
                if not skip_busy:
                    raise
                continue
            try:
                point = (resume or {}).get(worker)
                done.append(recover_chain(folder, worker, clock or Clock(), resume=point))
            finally:
                os.close(lock)
    return done


@contextmanager
def naming_ledger(folder: Path) -> Generator[None]:
    """Turn an error of the disk into one that names the ledger and the fix."""
    try:
        yield
    except (BadRecord, Damaged) as error:
        raise BadConfig(
            f"ledger {folder} cannot be read: {error}; give another ledger folder"
        ) from error
    except OSError as error:
        raise BadConfig(
            f"ledger {folder} cannot be written: {error.strerror or error}; "
            "give another ledger folder"
        ) from error


def recover_chain(
    folder: Path,
    worker: int,
    clock: Clock,
    sync: Callable[[int], None] = sync_data,
    resume: ResumePoint | None = None,
) -> Recovered:
    """Recover one worker's chain; its lock is held by the caller.

    Args:
        folder: The ledger.
        worker: Whose chain.
        clock: Stamps the records.
        sync: Makes a file's data durable.
        resume: Where reading may begin.

    Raises:
        OSError: The ledger cannot be written.
        BadRecord: A segment cannot be read.
        Damaged: A compressed segment cannot be unpacked.
    """
    for unfinished in folder.glob(f"w{worker}-*.jsonl.zst.tmp"):
        unfinished.unlink()
    scan = scan_chain(folder, worker, resume)
    torn = 0 if scan.last_is_damaged else scan.size_bytes - scan.whole_bytes
    torn_file = _cut(scan, torn) if torn else None
    target, size = _target(folder, worker, scan)
    report = _report(scan, torn, torn_file)
    if not size:
        report |= _follows(folder, worker, scan, target)
    lines, head = b"", scan.head
    if not scan.in_order or torn or OPEN_CALLS in report:
        lines, head = _chained(report, scan, clock)
    descriptor = create_segment(target)
    try:
        if lines:
            write_all(descriptor, lines)
            sync(descriptor)
    finally:
        os.close(descriptor)
    return Recovered(
        worker=worker,
        segment=target,
        head=head,
        size_bytes=size + len(lines),
        began_at=scan.began_at if size else None,
        clean_stop=scan.clean_stop,
        crash_ends=len(scan.open_calls),
        torn_bytes=torn,
        torn_file=torn_file,
        problems=scan.problems,
        damaged_lines=scan.damaged_lines,
    )


def crash_end(start: dict[str, Any], at: str, message: str) -> dict[str, Any]:
    """Return the END of a call whose own END was never written: what it cost is not known."""
    return {
        "kind": "end",
        **carried(start),
        "ended_at": at,
        "status": None,
        "end_reason": "crash",
        "prompt_tokens": None,
        "completion_tokens": None,
        "total_tokens": None,
        "usage_source": "none",
        "usage_status": None,
        "error": {"type": "crash", "message": message},
    }


def follows(
    before: Path, size_bytes: int | None, open_calls: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Return the members that a segment's first record carries when another one is before it."""
    return {
        FOLLOWS: {"segment": before.name, "size_bytes": size_bytes},
        OPEN_CALLS: [carried(start) for start in open_calls.values()],
    }


def _target(folder: Path, worker: int, scan: Scan) -> tuple[Path, int]:
    """Return the segment that writing goes on in, and its size."""
    last = scan.last
    if last is not None and not last.compressed and not scan.last_is_damaged:
        return last.path, scan.whole_bytes
    return next_segment(folder, worker), 0


def _report(scan: Scan, torn_bytes: int, torn_file: Path | None) -> dict[str, Any]:
    return {
        "clean_stop": scan.clean_stop,
        "crash_ends": len(scan.open_calls),
        "torn_bytes": torn_bytes,
        "torn_file": torn_file.name if torn_file else None,
        "damaged_lines": scan.damaged_lines,
        "problems": scan.described(),
    }


def _follows(folder: Path, worker: int, scan: Scan, target: Path) -> dict[str, Any]:
    """Return the further members of a report that is a segment's first record."""
    before = [s.path for s in segments(folder, worker) if s.path != target]
    return follows(before[-1], scan.sizes.get(before[-1]), scan.open_calls) if before else {}


def _chained(report: dict[str, Any], scan: Scan, clock: Clock) -> tuple[bytes, str]:
    """Return the lines that report what was found and end the calls, and the chain's new head."""
    at, head = rfc3339(clock.wall_ns()), scan.head
    message = "the proxy stopped before the end of this call was recorded"
    ends = [crash_end(start, at, message) for start in scan.open_calls.values()]
    lines: list[bytes] = []
    for record in [{"kind": "recovery", "at": at, **report}, *ends]:
        line, head = fitting_line(bounded(record), head)
        lines.append(line)
    return b"".join(lines), head


def _cut(scan: Scan, size_bytes: int) -> Path:
    """Move the torn end of the last segment into a file beside it; return that file."""
    if scan.last is None or scan.last.compressed:
        raise ValueError("only a plain segment can be torn")
    path, offset = scan.last.path, scan.whole_bytes
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        torn = _keep(descriptor, path, offset, size_bytes)
        os.ftruncate(descriptor, offset)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return torn


def _keep(descriptor: int, path: Path, offset: int, size_bytes: int) -> Path:
    """Copy the end of a segment into a file whose name no other torn end can have."""
    digest = hashlib.sha256()
    for piece in _pieces(descriptor, offset, size_bytes):
        digest.update(piece)
    torn = path.with_name(f"{path.name}.{offset}-{digest.hexdigest()[:12]}.torn")
    copy = os.open(torn, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        for piece in _pieces(descriptor, offset, size_bytes):
            write_all(copy, piece)
        os.fsync(copy)
    finally:
        os.close(copy)
    sync_folder(path.parent)
    return torn


def _pieces(descriptor: int, offset: int, size_bytes: int) -> Iterator[bytes]:
    while piece := os.pread(descriptor, min(size_bytes, _COPY_BYTES), offset):
        yield piece
        offset += len(piece)
        size_bytes -= len(piece)
