"""The files of a ledger: names, order, locks, and what makes them durable.

A worker's chain lies in `w<worker>-<number>.jsonl`; closed segments are compressed to
`w<worker>-<number>.jsonl.zst`. For a moment both are there, with the same content.
"""

import errno
import fcntl
import io
import os
import re
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import zstandard

from cab.proxy.errors import BadConfig

_NAME = re.compile(r"w(\d+)-(\d{6,})\.jsonl(\.zst)?")
_BUFFER_BYTES = 1 << 20


class Segment(NamedTuple):
    """One file of a worker's chain; sorts in the chain's order."""

    worker: int
    number: int
    path: Path

    @property
    def compressed(self) -> bool:
        """Whether it is closed and packed."""
        return self.path.suffix == ".zst"


def segments(folder: Path, worker: int | None = None) -> list[Segment]:
    """Return a ledger's segments in order; the plain file where both forms are there.

    Args:
        folder: The ledger.
        worker: Only this worker's; None gives all.
    """
    found: dict[tuple[int, int], Segment] = {}
    for path in sorted(folder.iterdir(), reverse=True):  # the plain name sorts first: it wins
        name = _NAME.fullmatch(path.name)
        if name and (worker is None or int(name[1]) == worker):
            key = int(name[1]), int(name[2])
            found[key] = Segment(*key, path)
    return sorted(found.values())


def segment_path(folder: Path, worker: int, number: int) -> Path:
    """Return where a segment is written."""
    return folder / f"w{worker}-{number:06d}.jsonl"


def open_segment(path: Path) -> BinaryIO:
    """Return a segment's bytes as a file, whether it is plain or compressed."""
    if ".zst" not in path.suffixes:  # also one that has no final name yet
        try:
            return path.open("rb")
        except FileNotFoundError:  # compressed since it was listed
            path = path.with_name(f"{path.name}.zst")
    plain = zstandard.ZstdDecompressor().stream_reader(path.open("rb"), closefd=True)
    return io.BufferedReader(cast("io.RawIOBase", plain), _BUFFER_BYTES)


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
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise BadConfig(
            f"ledger {folder} is being written by another proxy; "
            "stop that one, or give another with --ledger"
        ) from error
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
