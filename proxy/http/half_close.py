"""Telling a client that has ended its own side and waits for its answer from one that has hung up.

TCP shows the same of both until something is sent; then a client that hung up answers with a reset. What can
be sent while no byte of the answer is out is `100 Continue`: every client of HTTP/1.1 must pass over it,
and no common library ends its side before it has its answer, so none of them ever sees it.
"""

import asyncio
import select
import sys
from collections.abc import Callable
from typing import Any

from aiohttp import HttpVersion11, web

if sys.platform == "linux":
    _Poll = select.epoll
else:
    _Poll = Any

FIRST_PAUSE_S = 1.0
"""Between the first two questions; it doubles. A client behind a tunnel may be found gone only by the second."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
WATCHES = sys.platform == "linux"
"""Whether this system can tell: Linux."""


def may_wait(request: web.BaseRequest) -> bool:
    """Return whether a client that has ended its side may be asked whether it waits for its answer."""
    unanswered = request.writer.output_size == 0 and request.content.is_eof()
    upgrades = "Upgrade" in request.headers  # what follows goes both ways
    return WATCHES and unanswered and not upgrades and request.version >= HttpVersion11


class HangUpWatch:
    """Watches connections whose clients have ended their side for what shows that they are gone.

    The event loop does not watch what has ended. All connections share one descriptor, which is open as
    long as there are some: those of the process are counted.
    """

    def __init__(self) -> None:
        self._on_gone: dict[int, Callable[[], None]] = {}
        self._poll: _Poll | None = None

    def add(self, fd: int, on_gone: Callable[[], None]) -> None:
        """Call `on_gone` once the connection is reset or closed."""
        if self._poll is None:
            self._poll = _Poll()
            asyncio.get_running_loop().add_reader(self._poll.fileno(), self._look)
        self._on_gone[fd] = on_gone
        self._poll.register(fd, 0)  # errors and hang-ups are told without asking

    def remove(self, fd: int) -> None:
        """Watch a connection no more; it must be open still."""
        if self._poll is None or self._on_gone.pop(fd, None) is None:
            return
        self._poll.unregister(fd)
        if not self._on_gone:
            asyncio.get_running_loop().remove_reader(self._poll.fileno())
            self._poll.close()
            self._poll = None

    def _look(self) -> None:
        found = [] if self._poll is None else self._poll.poll(0)
        for fd, _ in found:
            on_gone = self._on_gone[fd]
            self.remove(fd)
            on_gone()


class HalfClosed:
    """A connection whose client has ended its side.

    Args:
        transport: The connection.
        watch: Tells that its client has hung up; the connection is dropped then.
    """

    def __init__(self, transport: asyncio.Transport, watch: HangUpWatch) -> None:
        self._transport = transport
        self._watch = watch
        self._pause_s = FIRST_PAUSE_S
        self._timer: asyncio.TimerHandle | None = None
        self._fd: int = transport.get_extra_info("socket").fileno()
        watch.add(self._fd, transport.abort)

    def ask(self, may_wait: Callable[[], bool]) -> None:
        """Ask the client whether it is there, again and again until its answer begins.

        Args:
            may_wait: Returns whether no byte of the answer is out.
        """
        if self._transport.is_closing() or not may_wait():
            return
        self._transport.write(_CONTINUE)
        self._timer = asyncio.get_running_loop().call_later(self._pause_s, self.ask, may_wait)
        self._pause_s *= 2

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._watch.remove(self._fd)
