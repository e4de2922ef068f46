"""Passing an answer's bytes on as they come, while a decoded copy is observed."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from cab.proxy.meter.content_decoding import BadEncoding, Decoder
from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.response.observer import Observer


class MeterOutput(NamedTuple):
    """What a chunk leads to."""

    data: bytes
    """Bytes that may be sent at once."""
    terminal: bool
    """Whether the bytes that tell the client that its answer is complete have now come."""


class ResponseFilter(Protocol):
    """Decides which bytes of one answer leave at once, and hands its parts over to the answer."""

    def pass_on(self, chunk: bytes, at_ns: int) -> MeterOutput:
        """Take a chunk. What is not given out stays inside until `rest`."""
        ...

    def observe(self, chunk: bytes, at_ns: int) -> object:
        """Read a chunk that comes after the terminal bytes, without giving it out or keeping it."""
        ...

    def finish(self, at_ns: int, *, clean: bool) -> bytes:
        """Take the end and return what may leave. The rest stays inside until `rest`."""
        ...

    def note_texts(self) -> None:
        """Give the answer what it was not given yet: before anybody looks at it."""
        ...

    def rest(self) -> bytes:
        """Give out what is still inside."""
        ...


class PassThrough:
    """Passes chunks whole: for bodies in one piece, and for whatever is compressed.

    Args:
        answer: Where warnings go.
        decoder: Undoes the encoding of the copy that is observed.
        observer_for: Makes the observer, given the first byte that is not white space; `None` to pass
            the bytes unread.
        hold: Whether the chunk with the terminal event of a compressed stream is kept inside.
    """

    def __init__(
        self,
        answer: Answer,
        decoder: Decoder,
        observer_for: Callable[[bytes], Observer] | None,
        *,
        hold: bool,
    ) -> None:
        self._answer = answer
        self._decoder = decoder
        self._observer_for = observer_for
        self._hold = hold
        self._observer: Observer | None = None
        self._broken = False
        self._inside = b""

    def pass_on(self, chunk: bytes, at_ns: int) -> MeterOutput:
        """Take a chunk."""
        self._inside = chunk
        terminal = self.observe(chunk, at_ns)
        return MeterOutput(b"" if terminal and self._hold else self.rest(), terminal)

    def observe(self, chunk: bytes, at_ns: int) -> bool:
        """Read a chunk; return whether it tells the client that the answer is complete."""
        if self._observer_for is None or self._broken:
            return False
        terminal = False
        try:
            for piece in self._decoder.decode(chunk):
                if self._observer is None and (first := piece.lstrip()[:1]):
                    self._observer = self._observer_for(first)
                if self._observer is not None:
                    terminal |= self._observer.observe(piece, at_ns)
        except BadEncoding as error:
            self._answer.warn(str(error))
            self._broken = True
        return terminal

    def finish(self, at_ns: int, *, clean: bool) -> bytes:
        """Take the end."""
        if self._observer is not None:
            self._observer.finish(at_ns, clean=clean and not self._broken)
        elif self._observer_for is not None and not self._broken:
            self._answer.warn("the answer is empty")
        return b""

    def note_texts(self) -> None:
        """Do nothing: the answer has all."""

    def rest(self) -> bytes:
        """Give out what is still inside."""
        inside, self._inside = self._inside, b""
        return inside
