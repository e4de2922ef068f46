"""How many requests begin in one turn of the event loop.

Of hundreds that come at once the first ones are to be on their way to the endpoint, and their answers to the
clients, before the last ones are looked at; else all of them are as late as the last.
"""

import asyncio
from collections import deque
from typing import Protocol

MOST = 32
"""In a turn; so many share a write of the ledger."""


class Waiting(Protocol):
    """Somebody who waits for a turn."""

    def begin(self) -> None:
        """Begin now; nothing if that was done meanwhile."""
        ...


class Turns:
    """Lets so many begin in a turn of the event loop, in the order in which they came."""

    def __init__(self) -> None:
        self._begun = 0
        """In this turn."""
        self._waiting: deque[Waiting] = deque()
        self._is_due = False

    def may_begin(self, one: Waiting) -> bool:
        """Return whether one may begin in this turn; if not, it is told when it may."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._next)
        if self._waiting or self._begun >= MOST:
            self._waiting.append(one)
            return False
        self._begun += 1
        return True

    def _next(self) -> None:
        self._is_due = bool(self._waiting)
        if self._is_due:
            asyncio.get_running_loop().call_soon(self._next)
        self._begun = min(len(self._waiting), MOST)
        for _ in range(self._begun):
            self._waiting.popleft().begin()
