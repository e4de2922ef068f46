"""Telling a client that has ended its own side and waits for its answer from one that has hung up.

TCP shows the same of both until something is sent; then a client that hung up answers with a reset. What can
be sent while no byte of the answer is out is `100 Continue`: every client of HTTP/1.1 must pass over it,
and no common library ends its side before it has its answer, so none of them ever sees it.
"""

import asyncio
import select
from collections.abc import Callable

from aiohttp import HttpVersion11, web

FIRST_PAUSE_S = 1.0
"""Between the first two questions; it doubles. A client behind a tunnel may be found gone only by the second."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_WATCHES = hasattr(select, "epoll")  # on Linux


def may_wait(request: web.BaseRequest) -> bool:
    """Return whether a client that has ended its side may be asked whether it waits for its answer."""
    unanswered = request.writer.output_size == 0 and request.content.is_eof()
    upgrades = "Upgrade" in request.headers  # what follows goes both ways
    return _WATCHES and unanswered and not upgrades and request.version >= HttpVersion11


class HalfClosed:
    """A connection whose client has ended its side.

    Args:
        transport: The connection.
        on_gone: Called once the client turns out to have hung up.
    """

    def __init__(self, transport: asyncio.Transport, on_gone: Callable[[], None]) -> None:
        self._transport = transport
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._pause_s = FIRST_PAUSE_S
        self._timer: asyncio.TimerHandle | None = None
        # The loop does not watch what has ended; a reset shows as an error, which needs no event mask.
        self._watch = select.epoll()
        self._watch.register(transport.get_extra_info("socket").fileno(), 0)
        self._loop.add_reader(self._watch.fileno(), self._gone)

    def ask(self, request: web.BaseRequest) -> None:
        """Ask the client whether it is there, again and again until its answer begins."""
        if self._transport.is_closing() or not may_wait(request):
            return
        self._transport.write(_CONTINUE)
        self._timer = self._loop.call_later(self._pause_s, self.ask, request)
        self._pause_s *= 2

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._watch.closed:
            self._loop.remove_reader(self._watch.fileno())
            self._watch.close()

    def _gone(self) -> None:
        self.close()
        self._on_gone()
