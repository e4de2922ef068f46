"""The append-only, hash-chained ledger: one writer thread per folder, many waiting calls per sync.

A record is handed over on the event loop; the thread chains it, writes it, syncs the file and then
wakes all calls whose records went with it. Nothing here blocks the loop.
"""

import asyncio
import fcntl
import hashlib
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from cab.proxy.errors import BadConfig, LedgerFailed
from cab.scoring.records import GENESIS, SCHEMA

_TAIL_BYTES = 1 << 16
LockFile = int


class Chained(NamedTuple):
    """A finished line and the hash that the next one will name."""

    line: bytes
    hash: str


def chain(record: dict[str, Any], prev: str) -> Chained:
    """Return the ledger line of a record, newline included.

    `hash` is the SHA-256 of the line's bytes without the `hash` member, so that a verifier in any
    language checks the bytes it read and re-serialises nothing.
    """
    body = orjson.dumps({**record, "prev": prev})
    digest = hashlib.sha256(body).hexdigest()
    return Chained(body[:-1] + b',"hash":"' + digest.encode() + b'"}\n', digest)


class _Waiting(NamedTuple):
    record: dict[str, Any]
    done: asyncio.Future[None]


class Ledger:
    """Takes records on the event loop and answers when they are on disk.

    Args:
        folder: Where the segments lie; made if missing.
        worker: Number of the writing process, part of the segment's name.
        sync: Makes a file's data durable; an argument so that tests can make it slow or fail.

    Raises:
        BadConfig: The folder cannot be written, or another proxy writes there.
    """

    def __init__(
        self, folder: Path, worker: int = 0, sync: Callable[[int], None] = os.fdatasync
    ) -> None:
        self.folder = folder
        self._sync = sync
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._failure: str | None = None
        self._loop = asyncio.get_running_loop()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(folder / f"w{worker}.lock")
            self.segment = folder / f"w{worker}-000001.jsonl"
            self._file, self._head = _open_segment(self.segment)
            _sync_folder(folder)
        except OSError as error:
            raise BadConfig(
                f"ledger {folder} cannot be written: {error.strerror}; give another with --ledger"
            ) from error
        self._thread = threading.Thread(target=self._run, name="cab-ledger", daemon=True)
        self._thread.start()

    @property
    def failure(self) -> str | None:
        """Why the ledger takes no records any more; None while it does."""
        return self._failure

    def append(self, record: dict[str, Any]) -> asyncio.Future[None]:
        """Return a future that is done when the record is on disk.

        Args:
            record: The members of the line but `schema`, `prev` and `hash`; JSON values only.

        Raises:
            LedgerFailed: From the future, when the disk refused the record.
        """
        done = self._loop.create_future()
        if self._failure is not None:
            done.set_exception(LedgerFailed(self._failure))
        else:
            self._queue.put(_Waiting({"schema": SCHEMA, **record}, done))
        return done

    async def close(self) -> None:
        """Write what is queued, stop the thread and release the folder."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        os.close(self._file)
        os.close(self._lock)

    def _run(self) -> None:
        while True:
            batch, stop = self._take()
            if batch:
                self._commit(batch)
            if stop:
                return

    def _take(self) -> tuple[list[_Waiting], bool]:
        """Return all records that wait now, at least one, and whether the queue was closed."""
        batch: list[_Waiting] = []
        item = self._queue.get()
        while True:
            if item is None:
                return batch, True
            batch.append(item)
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, False

    def _commit(self, batch: list[_Waiting]) -> None:
        try:
            lines, head = self._chained(batch)
            _write_all(self._file, b"".join(lines))
            self._sync(self._file)
            self._head = head
        except Exception as error:  # noqa: BLE001 - whatever it was, the callers must hear of it
            # After a failed write the tail of the file is unknown: no later record may follow it.
            self._failure = f"ledger {self.segment}: {error}"
        self._loop.call_soon_threadsafe(self._wake, batch, self._failure)

    def _chained(self, batch: list[_Waiting]) -> tuple[list[bytes], str]:
        """Return the lines of a batch and the chain's new head.

        A record that is no JSON is refused to the call that brought it, and to that call only: it
        is taken out of the batch.
        """
        lines: list[bytes] = []
        head = self._head
        for waiting in batch.copy():
            try:
                line, head = chain(waiting.record, head)
            except orjson.JSONEncodeError as error:
                batch.remove(waiting)
                failure = f"a record cannot be written as JSON: {error}"
                self._loop.call_soon_threadsafe(self._wake, [waiting], failure)
            else:
                lines.append(line)
        return lines, head

    @staticmethod
    def _wake(batch: list[_Waiting], failure: str | None) -> None:
        for _, done in batch:
            if done.done():  # the call that waited was cancelled
                continue
            if failure is None:
                done.set_result(None)
            else:
                done.set_exception(LedgerFailed(failure))


def _lock(file: Path) -> LockFile:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise BadConfig(
            f"ledger {file.parent} is being written by another proxy; "
            "stop that one, or give another with --ledger"
        ) from error
    return descriptor


def _open_segment(file: Path) -> tuple[int, str]:
    """Return the segment's descriptor and the hash at its end; a torn last line is cut off."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    size = os.fstat(descriptor).st_size
    if size == 0:
        return descriptor, GENESIS
    end, last = _last_line(descriptor, size)
    if end < size:
        os.ftruncate(descriptor, end)
    if not last:
        return descriptor, GENESIS
    try:
        return descriptor, str(orjson.loads(last)["hash"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        os.close(descriptor)
        raise BadConfig(
            f"ledger {file}: its last line is no record; move the folder away, or give another "
            "with --ledger"
        ) from error


def _last_line(descriptor: int, size: int) -> tuple[int, bytes]:
    """Return where the last whole line ends, and the line; reads backwards in growing pieces."""
    window = _TAIL_BYTES
    while True:
        start = max(0, size - window)
        tail = os.pread(descriptor, size - start, start)
        end = tail.rfind(b"\n")
        before = tail.rfind(b"\n", 0, max(end, 0))
        if end >= 0 and (before >= 0 or start == 0):
            return start + end + 1, tail[before + 1 : end]
        if start == 0:
            return 0, b""
        window *= 4


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
