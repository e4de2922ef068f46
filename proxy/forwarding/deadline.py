"""The limit of a call that runs out next."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal

Limit = Literal["headers", "body", "gone", "stop"]
"""How long the endpoint may be silent before its answer and within it, how long it is read on after
the client has gone, and the proxy's own stop."""


class Deadline:
    """The one limit that applies to a call at a time; none at first."""

    def __init__(self) -> None:
        self.limit: Limit = "headers"
        """Which limit it is."""
        self._at_s: float | None = None
        self._scope: asyncio.Timeout | None = None

    def set(self, limit: Limit, seconds: float | None) -> None:
        """Let a limit run out in so many seconds from now, or never; a stop is not taken back."""
        if self.limit == "stop":
            return
        self.limit = limit
        if seconds is None and self._at_s is None:
            return
        self._at_s = None if seconds is None else asyncio.get_running_loop().time() + seconds
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(self._at_s)

    @asynccontextmanager
    async def applied(self) -> AsyncGenerator[None]:
        """Raise `TimeoutError` out of the block when the limit runs out, whenever it is set."""
        try:
            async with asyncio.timeout_at(self._at_s) as self._scope:
                yield
        finally:
            self._scope = None
