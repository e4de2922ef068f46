"""Compresses closed segments in a thread of its own; whatever interrupts it, no record is lost.

The plain file goes only after the compressed one is on disk under its name and was read back.
"""

import hashlib
import io
import os
import queue
import threading
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from cab.proxy.ledger.segments import sync_folder
from cab.proxy.logs import RedactingLogger
from cab.scoring.ledger.zstd import Damaged, Unpacked

_LEVEL = 3
"""About a tenth of the size at several hundred MB/s; higher levels gain little on JSON lines."""
_PIECE_BYTES = 1 << 20

log = RedactingLogger()


class CompressionStopped(Exception):
    """The proxy stops; the segment is compressed after the next start."""


class Compressor:
    """A thread that compresses the segments it is given, one after the other."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cab-compress", daemon=True)
        self._thread.start()

    def add(self, segment: Path) -> None:
        """Have a closed segment compressed when its turn comes."""
        self._queue.put(segment)

    def close(self) -> None:
        """Give up what is under way and end the thread."""
        self._stop.set()
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (segment := self._queue.get()) is not None:
            try:
                compress_segment(segment, self._stop)
            except CompressionStopped:
                return
            except Exception as error:  # noqa: BLE001 - the plain file is as good; try at next start
                log.warning("segment_not_compressed", segment=segment.name, error=str(error))


def compress_segment(plain: Path, stop: threading.Event) -> None:
    """Replace a closed segment by its compressed form.

    Raises:
        Stopped: `stop` was set; the plain file is as it was.
        OSError: The disk refused; the plain file is as it was.
    """
    packed = plain.with_name(f"{plain.name}.zst")
    # It is there already if a compression was interrupted after the rename.
    if packed.exists() and not _same(plain, packed, stop):
        packed.rename(plain.with_name(f"{packed.name}.bad"))
        log.warning("compressed_segment_is_bad", segment=packed.name)
    if not packed.exists():
        _pack(plain, packed, stop)
    sync_folder(plain.parent)
    plain.unlink()
    sync_folder(plain.parent)


def _pack(plain: Path, packed: Path, stop: threading.Event) -> None:
    unfinished = packed.with_name(f"{packed.name}.tmp")
    try:
        with plain.open("rb") as source, unfinished.open("wb") as target:
            size = os.fstat(source.fileno()).st_size
            codec = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj(size)
            while piece := source.read(_PIECE_BYTES):
                target.write(codec.compress(piece))
                if stop.is_set():
                    raise CompressionStopped
            target.write(codec.flush())
            target.flush()
            os.fsync(target.fileno())
        if not _same(plain, unfinished, stop):
            raise OSError(f"{unfinished.name} reads back differently")
        unfinished.rename(packed)
    finally:
        unfinished.unlink(missing_ok=True)


def _same(plain: Path, packed: Path, stop: threading.Event) -> bool:
    """Return whether both files hold the same bytes."""
    # By its class, not by `open_segment`: while it is made its name does not end in .zst.
    unpacked = cast("BinaryIO", io.BufferedReader(Unpacked(packed), _PIECE_BYTES))
    with plain.open("rb") as source, unpacked:
        try:
            return _digest(source, stop) == _digest(unpacked, stop)
        except Damaged:
            return False


def _digest(source: BinaryIO, stop: threading.Event) -> bytes:
    digest = hashlib.sha256()
    while piece := source.read(_PIECE_BYTES):
        digest.update(piece)
        if stop.is_set():
            raise CompressionStopped
    return digest.digest()
