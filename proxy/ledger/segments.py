"""Making the files of a ledger: the next segment, locks, and what makes files durable.

Which files are segments, and how they are read, is known to `cab.scoring.ledger.segments`.
"""

import errno
import os
from pathlib import Path

from cab.proxy.errors import BadConfig
from cab.proxy.ledger.file_lock import lock_file
from cab.scoring.ledger.segments import Segment, segment_name, segments_among


def segments(folder: Path, worker: int | None = None) -> list[Segment]:
    """Return the segments that workers wrote, in the ledger's order.

    Args:
        folder: The ledger.
        worker: Only this worker's; None gives all.

    Raises:
        OSError: The folder cannot be listed.
    """
    found = segments_among(folder.iterdir())
    return [segment for segment in found if worker in (None, segment.worker)]


def next_segment(folder: Path, worker: int) -> Path:
    """Return where the segment after a worker's last one is written."""
    numbers = [segment.number for segment in segments(folder, worker)]
    return folder / segment_name(worker, max(numbers, default=0) + 1)


def create_segment(path: Path) -> int:
    """Return a descriptor that appends to a segment; made, and made durable, if missing."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    sync_folder(path.parent)
    return descriptor


def make_folder(folder: Path) -> None:
    """Make a folder with its parents, such that it is still there after a power cut."""
    if folder.is_dir():
        return
    if folder.exists():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def lock_chain(folder: Path, worker: int) -> int:
    """Return a descriptor that holds the lock of one worker's chain until it is closed.

    Raises:
        BadConfig: Another process writes to it.
    """
    descriptor = os.open(folder / f"w{worker}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    if not lock_file(descriptor):
        os.close(descriptor)
        raise BadConfig(
            f"ledger {folder} is being written by another proxy; "
            "stop that one, or give another ledger folder"
        )
    return descriptor


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: a new or renamed file is lost without it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of the data; one call of the system may take only a part."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
