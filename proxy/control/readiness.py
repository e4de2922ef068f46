"""Whether the endpoints can be reached: a connection to each, and no request, which could cost something."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

_LIMIT_S = 2.0
_HOLDS_S = 5.0
"""How long a result counts: anybody may ask, and endpoints are not to see each question."""


class Reachable(NamedTuple):
    """How many endpoints take connections, and how many do not."""

    reachable: int
    unreachable: int


class Readiness:
    """Finds out whether endpoints can be reached.

    Args:
        addresses: Gives their hosts and ports.
    """

    def __init__(self, addresses: Callable[[], Iterable[tuple[str, int]]]) -> None:
        self._addresses = addresses
        self._found = Reachable(0, 0)
        self._until_s = 0.0
        self._asking = asyncio.Lock()

    async def endpoints(self) -> Reachable:
        """Return how many endpoints can be reached; a result counts for some seconds."""
        async with self._asking:
            if time.monotonic() >= self._until_s:
                answers = await asyncio.gather(*(_connects(*a) for a in set(self._addresses())))
                self._found = Reachable(answers.count(True), answers.count(False))
                self._until_s = time.monotonic() + _HOLDS_S
            return self._found


async def _connects(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(_LIMIT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError, UnicodeError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
