"""Time as the event loop saw it: while a process stands still, it sees nothing end."""

import asyncio

TICK_S = 0.02
_RUN_ON = 6


class LoopTicks:
    """Counts ticks of the event loop for a while after each `now`; a standstill is one tick."""

    __slots__ = ("_asked", "_count", "_loop", "_runs")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._count = 0
        self._asked = 0
        self._runs = False

    def now(self) -> int:
        """Return the number of the tick; ticks go on for at least five more."""
        self._asked = self._count
        if not self._runs:
            self._runs = True
            self._loop.call_later(TICK_S, self._tick)
        return self._count

    @property
    def count(self) -> int:
        """The number of the tick."""
        return self._count

    def _tick(self) -> None:
        self._count += 1
        self._runs = self._count - self._asked < _RUN_ON
        if self._runs:
            self._loop.call_later(TICK_S, self._tick)
