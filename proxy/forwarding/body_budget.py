"""How many bytes of requests' bodies are in memory at once, and who waits until there is room."""

import asyncio
from collections import deque
from contextlib import suppress

from cab.proxy.errors import CabProxyError


class NoRoom(CabProxyError):
    """There was no room for a body in time."""


class BodyBudget:
    """One budget for the bodies of all calls in flight; who came first is served first.

    Args:
        limit_bytes: What the bodies may come to together. A larger one has it all to itself.
        wait_s: How long a body waits for room.
    """

    def __init__(self, limit_bytes: int, wait_s: float) -> None:
        self.limit_bytes = limit_bytes
        self._wait_s = wait_s
        self._used_bytes = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def take_now(self, size_bytes: int) -> bool:
        """Take more bytes if there is room for them and nobody waits; return whether they are taken."""
        if self._waiting or self._used_bytes + size_bytes > self.limit_bytes:
            return False
        self._used_bytes += size_bytes
        return True

    async def take(self, size_bytes: int) -> None:
        """Return once there is room for more bytes, which now are taken.

        Raises:
            TimeoutError: There was none in time.
        """
        if self.take_now(size_bytes):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = size_bytes, turn
        self._waiting.append(place)
        try:
            async with asyncio.timeout(self._wait_s):
                await turn
        except BaseException:
            if turn.cancelled():
                with suppress(ValueError):  # it may have been passed over already
                    self._waiting.remove(place)
                self.give(0)
            else:
                self.give(size_bytes)
            raise

    def give(self, size_bytes: int) -> None:
        """Give bytes back, and let those in who now have room."""
        self._used_bytes -= size_bytes
        while self._waiting and self._used_bytes + self._waiting[0][0] <= self.limit_bytes:
            size, turn = self._waiting.popleft()
            if not turn.done():
                self._used_bytes += size
                turn.set_result(None)


class BodyShare:
    """What one body holds of the budget."""

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self._held_bytes = 0
        self.queued_ms = 0.0
        """How long the body has waited for room so far."""

    async def hold(self, size_bytes: int) -> None:
        """Return once the budget has room for so much of this body.

        Raises:
            NoRoom: It had none in time.
        """
        more = min(size_bytes, self._budget.limit_bytes) - self._held_bytes
        if more <= 0 or self._budget.take_now(more):
            self._held_bytes += max(0, more)
            return
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            await self._budget.take(more)
        except TimeoutError as error:
            raise NoRoom("the bodies of calls in flight leave no room") from error
        finally:
            self.queued_ms += (loop.time() - began_s) * 1000
        self._held_bytes += more

    def release(self) -> None:
        """Let go of the body."""
        self._budget.give(self._held_bytes)
        self._held_bytes = 0
