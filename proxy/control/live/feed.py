"""The feed: while somebody looks, the ledger is followed, and each state goes to all who look.

Without a viewer there is no task, no thread and no open file.
"""

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import orjson

from cab.proxy.accounting.admission import CellRegistry
from cab.proxy.clock import Clock
from cab.proxy.control.live.board import Board
from cab.proxy.errors import Rejected
from cab.proxy.ledger.follow import Follower
from cab.proxy.logs import RedactingLogger

INTERVAL_S = 0.5
"""Between two states."""
MOST_VIEWERS = 16
_LAST_LINES = 20_000
"""Of each chain, read when the first viewer comes: what runs now has begun there."""

log = RedactingLogger()


class TooManyViewers(Exception):
    """No more can look at the same time."""


class LiveState(NamedTuple):
    """A state as all viewers are sent it."""

    number: int
    """That of the state before if nothing has changed but the time."""
    event: bytes
    """As a server-sent event."""


class LiveFeed:
    """Follows a ledger for those who look.

    Args:
        folder: The ledger.
        clock: What time it is.
        registry: Knows what cells may spend.
    """

    def __init__(self, folder: Path, clock: Clock, registry: CellRegistry) -> None:
        self._folder = folder
        self._clock = clock
        self._registry = registry
        self._viewers: set[asyncio.Queue[LiveState | None]] = set()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def viewer(self) -> AsyncGenerator["asyncio.Queue[LiveState | None]"]:
        """Yield a queue of states, None once there are no more; it holds the newest one only.

        Raises:
            TooManyViewers: Others look already.
        """
        if len(self._viewers) >= MOST_VIEWERS:
            raise TooManyViewers
        queue: asyncio.Queue[LiveState | None] = asyncio.Queue(1)
        self._viewers.add(queue)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._follow())
        try:
            yield queue
        finally:
            self._viewers.discard(queue)
            if not self._viewers:
                self._end()

    def close(self) -> None:
        """End the streams of all who look."""
        self._end()
        self._publish(None)

    def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _follow(self) -> None:
        # A thread of its own: it must not wait for others' reads, nor they for it.
        thread, follower = ThreadPoolExecutor(1, "cab-live"), Follower(self._folder)
        try:
            await self._follow_on(thread, follower)
        except Exception as error:  # noqa: BLE001 - nobody may wait for a state that does not come
            log.warning("live_view_ended", error=f"{type(error).__name__}: {error}")
            self._task = None
            self._publish(None)
        finally:
            # No call may wait for a read that still goes on.
            follower.stop()
            thread.submit(follower.close)
            thread.shutdown(wait=False)

    async def _follow_on(self, thread: ThreadPoolExecutor, follower: Follower) -> None:
        loop, board = asyncio.get_running_loop(), Board()
        await loop.run_in_executor(thread, lambda: board.read(follower.last(_LAST_LINES)))
        members, state = b"", LiveState(0, b"")
        while True:
            await self._ask_limits(board)
            now_s = self._clock.wall_ns() / 1e9
            encoded = await loop.run_in_executor(thread, _encoded, board, now_s)
            # The time is the first member; all the others are the same as long as nothing happens.
            before, members = members, encoded.partition(b",")[2]
            state = LiveState(state.number + (members != before), b"data: %b\n\n" % encoded)
            self._publish(state)
            await asyncio.sleep(INTERVAL_S)
            await loop.run_in_executor(thread, lambda: board.read(follower.new()))

    async def _ask_limits(self, board: Board) -> None:
        """Ask what those cells may spend that have called since the last time."""
        if not (cells := board.changed()):
            return
        try:
            limits = await self._registry.limits(cells)
        except Rejected:  # the parent of the workers is gone, and so will this one be
            return
        board.limit(zip(cells, limits, strict=True))

    def _publish(self, state: LiveState | None) -> None:
        """Hand a state to each viewer; one that has not taken the last one yet gets this in its place."""
        for queue in self._viewers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(state)


def _encoded(board: Board, now_s: float) -> bytes:
    return orjson.dumps(board.state(now_s))
