"""How many bytes of requests' bodies are in memory at once, and who waits until there is room."""

import asyncio
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass

from cab.proxy.errors import CabProxyError


class NoRoom(CabProxyError):
    """There was no room for a body in time."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """Somebody who waits for room."""

    share: "BodyShare"
    size_bytes: int
    turn: asyncio.Future[None]


class BodyBudget:
    """One budget for the bodies of all calls in flight; who came first is served first.

    One cell can have half of it, so that no cell can keep the others out.

    Args:
        limit_bytes: What the bodies may come to together. A larger one has it all to itself.
        wait_s: How long a body waits for room.
    """

    def __init__(self, limit_bytes: int, wait_s: float) -> None:
        self.limit_bytes = limit_bytes
        self._wait_s = wait_s
        self.large_reads = asyncio.Lock()
        """Held while a large body is read: one at a time, as each takes memory of its own."""
        self._used_bytes = 0
        self._used_by: Counter[str] = Counter()
        self._waiting: deque[_Waiting] = deque()

    def set_wait(self, wait_s: float) -> None:
        """Have the next bodies wait for room for so long."""
        self._wait_s = wait_s

    def take_now(self, share: "BodyShare", size_bytes: int) -> bool:
        """Take more bytes if there is room for them and nobody waits; return whether they are taken."""
        if self._waiting and not self._all_wait_for_their_cell():
            return False
        if not self._fits(share, size_bytes):
            return False
        self._add(share, size_bytes)
        return True

    async def take(self, share: "BodyShare", size_bytes: int) -> None:
        """Return once there is room for more bytes, which now are taken.

        Raises:
            TimeoutError: There was none in time.
        """
        if self.take_now(share, size_bytes):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = _Waiting(share, size_bytes, turn)
        self._waiting.append(place)
        try:
            async with asyncio.timeout(self._wait_s):
                await turn
        except BaseException:
            if turn.cancelled():
                with suppress(ValueError):  # it may have been passed over already
                    self._waiting.remove(place)
                self._let_in()
            else:
                self.give(share, size_bytes)
            raise

    def give(self, share: "BodyShare", size_bytes: int) -> None:
        """Give bytes back, and let those in who now have room."""
        self._add(share, -size_bytes)
        self._let_in()

    def _let_in(self) -> None:
        for place in list(self._waiting):
            if place.turn.done():
                self._waiting.remove(place)
            elif self._fits(place.share, place.size_bytes):
                self._waiting.remove(place)
                self._add(place.share, place.size_bytes)
                place.turn.set_result(None)
            elif self._is_allowed(place.share, place.size_bytes):
                return  # its turn: what comes behind it does not pass it

    def _all_wait_for_their_cell(self) -> bool:
        return not any(
            self._is_allowed(p.share, p.size_bytes) for p in self._waiting if not p.turn.done()
        )

    def _fits(self, share: "BodyShare", size_bytes: int) -> bool:
        there_is = self._used_bytes + size_bytes <= self.limit_bytes
        return there_is and self._is_allowed(share, size_bytes)

    def _is_allowed(self, share: "BodyShare", size_bytes: int) -> bool:
        """Return whether a body's cell may have more bytes; a body is not kept out by its own size."""
        if share.cell_id is None:
            return True
        others = self._used_by[share.cell_id] - share.held_bytes
        return others == 0 or others + share.held_bytes + size_bytes <= self.limit_bytes // 2

    def _add(self, share: "BodyShare", size_bytes: int) -> None:
        self._used_bytes += size_bytes
        if share.cell_id is not None:
            self._used_by[share.cell_id] += size_bytes
            if not self._used_by[share.cell_id]:
                del self._used_by[share.cell_id]


class BodyShare:
    """What one body holds of the budget.

    Args:
        budget: The budget.
        cell_id: The cell that its key is for; None where a call has no key.
    """

    __slots__ = ("_budget", "cell_id", "given_up", "held_bytes", "queued_ms")

    def __init__(self, budget: BodyBudget, cell_id: str | None = None) -> None:
        self._budget = budget
        self.cell_id = cell_id
        self.held_bytes = 0
        self.queued_ms = 0.0
        """How long the body has waited for room so far."""
        self.given_up = False
        """Whether there was no room for the body in time, so that it was not read."""

    def hold_now(self, size_bytes: int) -> bool:
        """Hold so much of this body if the budget has room for it now; return whether it has."""
        more = self._more(size_bytes)
        if more > 0 and not self._budget.take_now(self, more):
            return False
        self.held_bytes += max(0, more)
        return True

    async def hold(self, size_bytes: int) -> None:
        """Return once the budget has room for so much of this body.

        Raises:
            NoRoom: It had none in time.
        """
        if self.hold_now(size_bytes):
            return
        more = self._more(size_bytes)
        began_s = time.monotonic()  # uvloop's own time is of whole milliseconds
        try:
            await self._budget.take(self, more)
        except TimeoutError as error:
            raise NoRoom(
                f"the bodies of calls in flight come to {self._budget.limit_bytes} bytes, or those of "
                "this cell to half of that; try again, or raise body_budget_bytes"
            ) from error
        finally:
            self.queued_ms += (time.monotonic() - began_s) * 1000
        self.held_bytes += more

    def shrink(self, size_bytes: int) -> None:
        """Hold no more than so much of the body."""
        surplus = self.held_bytes - size_bytes
        if surplus > 0:
            self.held_bytes -= surplus
            self._budget.give(self, surplus)

    def release(self) -> None:
        """Let go of the body."""
        self.shrink(0)

    def _more(self, size_bytes: int) -> int:
        return min(size_bytes, self._budget.limit_bytes) - self.held_bytes
