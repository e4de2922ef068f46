"""Keeps the snapshot near the end of the ledger while calls are made, on a thread of its own."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from cab.proxy.ledger.snapshot.fold import WholeReadNeeded
from cab.proxy.ledger.snapshot.snapshot import Snapshot
from cab.proxy.logs import RedactingLogger
from cab.scoring.errors import BadRecord
from cab.scoring.ledger.zstd import Damaged

LOOK_S = 2.0
"""How often the ledger is looked at."""
AT_LEAST_S = 30.0
"""How long after a record was written it is in the snapshot, at most."""
AT_LEAST_BYTES = 4 << 20
"""Or sooner, when so many bytes of it are not: a start reads what is left."""
_PAUSE_S = 0.0005

log = RedactingLogger()


class SnapshotKeeper:
    """Reads on while the proxy runs, and once more when it has stopped.

    Args:
        snapshot: What is kept.
        ledger: The ledger's folder.
    """

    def __init__(self, snapshot: Snapshot, ledger: Path) -> None:
        self.snapshot = snapshot
        self._ledger = ledger
        self._seen = _Extent(0, 0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cab-snapshot", daemon=True)

    async def start(self) -> None:
        """Read what was not read yet; from now on, go on with it."""
        self._seen = _extent(self._ledger)
        await asyncio.to_thread(self.snapshot.catch_up)
        if self.snapshot.is_kept:
            self._thread.start()

    async def stop(self) -> None:
        """Read the rest, as nothing more is written."""
        if self._thread.ident is not None:
            self._stop.set()
            await asyncio.to_thread(self._thread.join)
        self.snapshot.close()

    def _run(self) -> None:
        read_at, seen, goes_on = time.monotonic(), self._seen, True
        while goes_on and not self._stop.wait(LOOK_S):
            now = _extent(self._ledger)
            is_due = now.segments > seen.segments or time.monotonic() - read_at >= AT_LEAST_S
            if now != seen and (is_due or now.size_bytes - seen.size_bytes >= AT_LEAST_BYTES):
                goes_on = self._read_on()
                read_at, seen = time.monotonic(), now
        if goes_on:
            self._read_on()

    def _read_on(self) -> bool:
        """Read on; return whether that can be done again."""
        try:
            self.snapshot.read_on(self._pause)
        except WholeReadNeeded as needed:  # not beside calls: the next start does it
            log.warning("snapshot_not_kept", ledger=str(self._ledger), reason=str(needed))
            return False
        except (sqlite3.Error, OSError, BadRecord, Damaged) as error:  # a disk that is full, say
            log.warning("snapshot_not_kept", ledger=str(self._ledger), reason=str(error))
        return True

    def _pause(self) -> None:
        if not self._stop.is_set():
            time.sleep(_PAUSE_S)  # calls go first


@asynccontextmanager
async def opened_snapshot(state: Path | None, ledger: Path) -> AsyncGenerator[SnapshotKeeper]:
    """Open the snapshot of a ledger; leave the context when nothing is written to the ledger any more.

    Args:
        state: The state folder; None keeps nothing for the next start.
        ledger: The ledger's folder.
    """
    keeper = SnapshotKeeper(await asyncio.to_thread(Snapshot, state, ledger), ledger)
    try:
        yield keeper
    finally:
        await keeper.stop()


class _Extent(NamedTuple):
    size_bytes: int
    segments: int


def _extent(ledger: Path) -> _Extent:
    """Return how much a ledger's segments hold that are not compressed, and how many there are."""
    size, count = 0, 0
    with suppress(OSError):
        for file in ledger.glob("w*.jsonl*"):
            count += 1
            with suppress(FileNotFoundError):
                size += 0 if file.suffix == ".zst" else file.stat().st_size
    return _Extent(size, count)
