"""What a client sends on a WebSocket is read only when there is room for it.

aiohttp keeps a message until it is whole. So the length that a frame states is taken out of the budget for
bodies before its payload is read; until there is room the socket is not read. A message for which no
room comes is passed over, and whoever reads messages gets an empty one in its place.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol, Self

from cab.proxy.forwarding.body_budget import BodyShare, NoRoom

_EMPTY_MESSAGE = b"\x81\x80\0\0\0\0"
"""A whole text message, masked and empty."""
_END_OF_MESSAGE = b"\x80\x80\0\0\0\0"
"""The last frame of a message, masked and empty."""
_CONTROL = 0x8
_LEAST_BYTES = 1024
"""What must come within the time limit, as for the body of a request."""


class FrameHead(NamedTuple):
    """The head of a frame (RFC 6455, 5.2)."""

    size: int
    """Its own bytes, mask included."""
    is_data: bool
    is_last: bool
    """Whether its message ends with it."""
    payload_bytes: int

    @classmethod
    def read(cls, data: bytes, position: int) -> Self | None:
        """Return the head that begins at a position; None if it is not here as a whole."""
        if len(data) < position + 2:
            return None
        first, second = data[position], data[position + 1]
        length, more = second & 0x7F, {126: 2, 127: 8}.get(second & 0x7F, 0)
        size = 2 + more + (4 if second & 0x80 else 0)
        if len(data) < position + size:
            return None
        if more:
            length = int.from_bytes(data[position + 2 : position + 2 + more], "big")
        return cls(size, (first & 0xF) < _CONTROL, bool(first & 0x80), length)


class FrameReader(Protocol):
    """aiohttp's reader of frames."""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take bytes; return whether the connection must end."""
        ...

    def feed_eof(self) -> None:
        """Take the end."""
        ...


class Line(Protocol):
    """The connection whose bytes are read."""

    @property
    def is_held_up(self) -> bool:
        """Whether the reader itself wants nothing at present."""
        ...

    def pause(self) -> None:
        """Read nothing more."""
        ...

    def resume(self) -> None:
        """Read on, unless it is held up."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class FrameGate:
    """Stands between a connection and its reader.

    Args:
        reader: Takes the frames for which there is room.
        line: The connection.
        share: Makes the share of a message in the budget.
        max_message_bytes: The reader refuses larger ones by itself.
        progress_timeout_s: How long the next 1024 bytes of a message, or its end, may take.
    """

    def __init__(
        self,
        reader: FrameReader,
        line: Line,
        share: Callable[[], BodyShare],
        max_message_bytes: int,
        progress_timeout_s: float,
    ) -> None:
        self._reader = reader
        self._line = line
        self._make_share = share
        self._max_bytes = max_message_bytes
        self._progress = _Progress(progress_timeout_s, line)
        self._rest = b""
        self._passing: list[bytes] = []
        self._frame: FrameHead | None = None
        self._left_bytes = 0
        self._share: BodyShare | None = None
        self._stated_bytes = 0
        self._begun = self._skips = self._ended = False
        self._waiting: asyncio.Task[None] | None = None
        self._untaken: deque[BodyShare] = deque()

    def take(self) -> BodyShare:
        """Return what the next message holds that the reader gives out."""
        return self._untaken.popleft()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take bytes; return whether the connection must end."""
        self._rest += data
        if self._ended:  # nobody takes messages any more; the reader still looks for a Close
            rest, self._rest = self._rest, b""
            return self._reader.feed_data(rest)
        if self._waiting is not None:
            self._line.pause()  # the reader has resumed it
            return False, b""
        return self._pass(), b""

    def feed_eof(self) -> None:
        """Take the end."""
        self.close()
        self._reader.feed_eof()

    def close(self) -> None:
        """Let go of the message that has not come as a whole, and of those that nobody will take."""
        self._ended = True
        self._progress.stop()
        if self._waiting is not None:
            self._waiting.cancel()
        while self._untaken:
            self._untaken.pop().release()
        if self._share is not None:
            self._share.release()

    def _pass(self) -> bool:
        """Pass on what there is room for; return whether the connection must end."""
        data, position = self._rest, 0
        while True:
            if self._frame is None:
                head = FrameHead.read(data, position)
                if head is None or not self._has_room(head):
                    break
                self._frame, self._left_bytes = head, head.payload_bytes
                self._keep(head, data[position : position + head.size])
                position += head.size
            piece = data[position : position + self._left_bytes]
            self._keep(self._frame, piece)
            position, self._left_bytes = position + len(piece), self._left_bytes - len(piece)
            self._progress.note(len(piece))
            if self._left_bytes:
                break
            self._end_frame(self._frame)
        self._rest = data[position:]
        if self._share is not None and self._waiting is None:
            self._progress.go_on()
        # At once: a reader that is held up copies all that it keeps for each piece.
        passing, self._passing = b"".join(self._passing), []
        return self._reader.feed_data(passing)[0] if passing else False

    def _keep(self, head: FrameHead, data: bytes) -> None:
        if not (head.is_data and self._skips):
            self._passing.append(data)
            self._begun = self._begun or head.is_data

    def _has_room(self, head: FrameHead) -> bool:
        """Return whether a frame may be read now; if not, that is tried again later."""
        if not head.is_data or self._skips:
            return True
        if self._share is None:
            self._share, self._stated_bytes = self._make_share(), 0
        self._stated_bytes += head.payload_bytes
        too_large = self._stated_bytes > self._max_bytes  # the reader ends the connection
        if too_large or self._share.hold_now(self._stated_bytes):
            return True
        self._stated_bytes -= head.payload_bytes
        self._line.pause()
        self._progress.stop()
        waiting = self._wait(self._share, self._stated_bytes + head.payload_bytes)
        self._waiting = asyncio.get_running_loop().create_task(waiting)
        return False

    async def _wait(self, share: BodyShare, size_bytes: int) -> None:
        try:
            await share.hold(size_bytes)
        except NoRoom:
            share.release()
            share.given_up = self._skips = True
        self._waiting = None
        if self._ended:
            share.release()
            return
        self._line.resume()
        self._pass()  # whoever takes messages sees a fault of the reader

    def _end_frame(self, head: FrameHead) -> None:
        self._frame = None
        if not (head.is_data and head.is_last):
            return
        self._progress.stop()
        if self._skips:
            self._passing.append(_END_OF_MESSAGE if self._begun else _EMPTY_MESSAGE)
        if self._share is not None:
            self._untaken.append(self._share)
        self._share, self._begun, self._skips = None, False, False


class _Progress:
    """Ends a connection on which a message has begun and does not go on."""

    def __init__(self, timeout_s: float, line: Line) -> None:
        self._timeout_s = timeout_s
        self._line = line
        self._timer: asyncio.TimerHandle | None = None
        self._new_bytes = 0

    def go_on(self) -> None:
        if self._timer is None:
            self._start()

    def _start(self) -> None:
        self.stop()
        self._new_bytes = 0
        self._timer = asyncio.get_running_loop().call_later(self._timeout_s, self._over)

    def note(self, more_bytes: int) -> None:
        self._new_bytes += more_bytes
        if self._timer is not None and self._new_bytes >= _LEAST_BYTES:
            self._start()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _over(self) -> None:
        if self._line.is_held_up:
            self._start()
        else:
            self._line.close()
