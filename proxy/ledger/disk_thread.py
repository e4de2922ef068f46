"""A thread that does what may take the disk a while, one thing after the other."""

import asyncio
import queue
import threading
from collections.abc import Callable

Work = Callable[[], None]
Done = Callable[[Exception | None], None]


class DiskThread:
    """Runs work away from the event loop, and tells the loop how it went.

    A thread of its own, and not an executor: of each call of the proxy this is on the way, and a
    future for each piece of work costs more than handing it over.

    Args:
        name: What the thread is called.
    """

    def __init__(self, name: str = "cab-ledger") -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[tuple[Work, Done] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Work, done: Done) -> None:
        """Have something done; then `done` is called on the loop, with what it raised."""
        self._queue.put((work, done))

    async def close(self) -> None:
        """Wait until all is done, and end the thread."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            work, done = item
            error: Exception | None = None
            try:
                work()
            except Exception as raised:  # noqa: BLE001 - whatever it was, it must reach the loop
                error = raised
            self._loop.call_soon_threadsafe(done, error)
