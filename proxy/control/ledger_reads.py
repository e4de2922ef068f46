"""Reads of the ledger for the control API, on threads of their own.

A read may take minutes. Calls use the event loop's own threads, and must not wait for one.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TypeVar

_BATCH_LINES = 512
_THREADS = 2

_Result = TypeVar("_Result")


class LedgerReads:
    """Threads that read the ledger; as soon as it is closed, nothing new is read."""

    def __init__(self) -> None:
        self._slices = ThreadPoolExecutor(_THREADS, "cab-read-slice")
        # Others: whoever may look at a cell must not hold up the seal of another.
        self._seals = ThreadPoolExecutor(_THREADS, "cab-read-seal")

    async def batches(self, lines: Iterator[bytes]) -> AsyncGenerator[bytes]:
        """Yield the lines of a slice, some hundred at a time."""
        while batch := await _on(self._slices, partial(_take, lines)):
            yield batch

    async def for_seal(self, read: Callable[[], _Result]) -> _Result:
        """Return what a function reads that a seal needs."""
        return await _on(self._seals, read)

    def close(self) -> None:
        """Start no read any more; wait for none."""
        for threads in (self._slices, self._seals):
            threads.shutdown(wait=False, cancel_futures=True)


async def _on(threads: ThreadPoolExecutor, read: Callable[[], _Result]) -> _Result:
    return await asyncio.get_running_loop().run_in_executor(threads, read)


def _take(lines: Iterator[bytes]) -> bytes:
    return b"".join(islice(lines, _BATCH_LINES))
