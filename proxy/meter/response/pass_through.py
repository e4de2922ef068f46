"""The way of an answer's bytes through the meter: what leaves at once, and what waits."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from cab.proxy.meter.response.content_decoding import BadEncoding, Decoder
from cab.proxy.meter.response.observer import Ear, Listener


class Feed(NamedTuple):
    """What becomes of a chunk."""

    data: bytes
    """Bytes that may be sent at once."""
    terminal: bool
    """Whether the bytes that tell the client that its answer is complete have now come."""


NOTHING = Feed(b"", terminal=False)


class Path(Protocol):
    """The way of one answer."""

    def feed(self, chunk: bytes, at_ns: int) -> Feed:
        """Take a chunk. What is not given out stays inside until `rest`."""
        ...

    def listen(self, chunk: bytes, at_ns: int) -> Feed:
        """Take a chunk after the terminal bytes: it is heard, and neither given out nor kept."""
        ...

    def finish(self, at_ns: int, *, clean: bool) -> Feed:
        """Take the end and return what may leave. The rest stays inside until `rest`."""
        ...

    def rest(self) -> bytes:
        """Give out what is still inside."""
        ...


class BodyPath:
    """Passes chunks whole: for bodies in one piece, and for whatever is compressed.

    Args:
        decoder: Undoes the encoding of the copy that is listened to.
        choose: Makes the listener, given the first byte that is no white space; `None` to be deaf.
        ear: Where complaints go.
        hold: Whether the chunk with the terminal event of a compressed stream is kept inside.
    """

    def __init__(
        self,
        decoder: Decoder,
        choose: Callable[[bytes], Listener] | None,
        ear: Ear,
        *,
        hold: bool,
    ) -> None:
        self._decoder = decoder
        self._choose = choose
        self._ear = ear
        self._hold = hold
        self._listener: Listener | None = None
        self._broken = False
        self._inside = b""

    def feed(self, chunk: bytes, at_ns: int) -> Feed:
        """Take a chunk."""
        self._inside = chunk
        terminal = self._listen(chunk, at_ns)
        return Feed(b"" if terminal and self._hold else self.rest(), terminal)

    def listen(self, chunk: bytes, at_ns: int) -> Feed:
        """Take a chunk after the terminal bytes."""
        self._listen(chunk, at_ns)
        return NOTHING

    def finish(self, at_ns: int, *, clean: bool) -> Feed:
        """Take the end."""
        if self._listener is not None:
            self._listener.finish(at_ns, clean=clean and not self._broken)
        elif self._choose is not None and not self._broken:
            self._ear.answer.complain("the answer is empty")
        return NOTHING

    def rest(self) -> bytes:
        """Give out what is still inside."""
        inside, self._inside = self._inside, b""
        return inside

    def _listen(self, chunk: bytes, at_ns: int) -> bool:
        if self._choose is None or self._broken:
            return False
        terminal = False
        try:
            for piece in self._decoder.feed(chunk):
                if self._listener is None and (first := piece.lstrip()[:1]):
                    self._listener = self._choose(first)
                if self._listener is not None:
                    terminal |= self._listener.feed(piece, at_ns)
        except BadEncoding as error:
            self._ear.answer.complain(str(error))
            self._broken = True
        return terminal
