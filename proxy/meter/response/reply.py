"""The meter of one response: bytes in, bytes out, and what they said."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.dialects.routes import Dialect
from cab.proxy.meter.response.content_decoding import BadEncoding, Decoder
from cab.proxy.meter.response.observer import (
    Ear,
    EventListener,
    Listener,
    is_event_stream,
    listener_for,
)
from cab.proxy.meter.response.pass_through import NOTHING, BodyPath, Feed, Path
from cab.proxy.meter.response.stream_filter import EventPath

_SIGNIFICANT = re.compile(rb"[^ \t\r\n]")


@dataclass(frozen=True)
class ResponseHead:
    """The head of a response, as far as it matters here."""

    status: int
    content_type: str
    """The header's value, in lower case; empty if there is none."""
    content_encoding: str
    """The header's value; empty if there is none."""
    content_length: int | None
    """The header's value."""


@dataclass(frozen=True)
class Terms:
    """What is to be done with a response."""

    dialect: Dialect | None
    """`None` to pass everything unheard."""
    hold: bool
    """Whether what tells the client that its answer is complete is kept inside until `release`."""
    alter: bool
    """Whether usage that the client did not ask for is taken out."""
    limit_bytes: int
    """How much of a body, or of one event, is kept for understanding it."""


class Reply:
    """Meters one response; nothing raises, whatever the bytes.

    Args:
        head: The head of the response.
        terms: What is to be done with it.
    """

    def __init__(self, head: ResponseHead, terms: Terms) -> None:
        self._head = head
        self._terms = terms
        self.faults: list[str] = []
        """What the meter itself could not do."""
        self.received_bytes = 0
        self.last_byte_ns: int | None = None
        dialect = terms.dialect
        self.ear = Ear(Answer(0) if dialect is None else dialect.answer(terms.limit_bytes))
        """What was heard."""
        self._deaf = dialect is None
        self._decoder = self._new_decoder()
        self._path: Path | None = None
        self._late = bytearray()
        self._ended = False  # the terminal bytes came, or the end did
        self._released = not terms.hold
        self._closed = False

    @property
    def may_alter(self) -> bool:
        """Whether the client may get fewer bytes than came."""
        kind = self._head.content_type
        return self._terms.alter and self._decoder.is_identity and not _never_events(kind)

    def feed(self, chunk: bytes, at_ns: int) -> Feed:
        """Return what may be sent at once now that `chunk` has come."""
        if not chunk:
            return NOTHING
        self.received_bytes += len(chunk)
        self.last_byte_ns = at_ns
        if self._ended:
            return Feed(self._pass_late(chunk, at_ns), terminal=False)
        feed = self._feed(chunk, at_ns)
        length = self._head.content_length
        if feed.terminal:
            self._keep(self._rest())
            self._ended = True
        elif length is not None and self.received_bytes >= length:
            # The last chunk of a body of known length: no later byte would tell the client.
            return self._end(feed.data + self._close(at_ns, clean=True))
        return feed

    def finish(self, at_ns: int) -> Feed:
        """Return what may still be sent now that the upstream has closed cleanly."""
        data = self._close(at_ns, clean=True)
        if self._ended:
            return Feed(data, terminal=False)
        self._keep(self._rest())
        self._ended = True
        return Feed(data, terminal=True)

    def cut(self) -> bytes:
        """Return all bytes that came and were not given out, now that the upstream broke off."""
        data = self._close(self.last_byte_ns or 0, clean=False)
        self._ended = True
        return data + self._rest() + self.release()

    def release(self) -> bytes:
        """Return what was kept inside; everything else passes from now on."""
        late = bytes(self._late)
        self._late.clear()
        self._released = self._released or self._ended
        return late

    def _end(self, last: bytes) -> Feed:
        """End with the bytes that complete a body of known length."""
        self._ended = True
        last += self._rest()
        if self._released:
            return Feed(last, terminal=True)
        self._keep(last)
        return Feed(b"", terminal=True)

    def _feed(self, chunk: bytes, at_ns: int) -> Feed:
        self._path = self._path or self._new_path(chunk)
        if self._path is None:
            return Feed(chunk, terminal=False)
        return self._safely(lambda path: path.feed(chunk, at_ns))

    def _pass_late(self, chunk: bytes, at_ns: int) -> bytes:
        """Take a chunk that comes after the answer's end."""
        if not self._closed:
            self._safely(lambda path: path.listen(chunk, at_ns))
        if self._released:
            return chunk
        self._keep(chunk)
        return b""

    def _close(self, at_ns: int, *, clean: bool) -> bytes:
        """Take the end of the body, once; return what need not be kept inside."""
        if self._closed:
            return b""
        self._closed = True
        if self._path is None and not self._deaf:
            self.ear.answer.complain("the answer is empty")
        last = self._safely(lambda path: path.finish(at_ns, clean=clean))
        if self._terms.dialect is None:
            self.ear.complete = clean
        return last.data

    def _safely(self, step: Callable[[Path], Feed]) -> Feed:
        """Let the path take a step; after a fault of ours the bytes go on, unheard."""
        path = self._path
        if path is None:
            return NOTHING
        try:
            return step(path)
        except Exception as error:  # noqa: BLE001 - metering never breaks a call
            self.faults.append(f"fault in the meter: {type(error).__name__}")
            self._path = self._deaf_path()
            return Feed(path.rest(), terminal=False)

    def _keep(self, data: bytes) -> None:
        self._late += data

    def _rest(self) -> bytes:
        return b"" if self._path is None else self._path.rest()

    def _new_decoder(self) -> Decoder:
        try:
            return Decoder(self._head.content_encoding, self._terms.limit_bytes)
        except BadEncoding as error:
            self.faults.append(str(error))
            self._deaf = True
            return Decoder("", self._terms.limit_bytes)

    def _deaf_path(self) -> BodyPath:
        return BodyPath(Decoder("", self._terms.limit_bytes), None, self.ear, hold=False)

    def _new_path(self, chunk: bytes) -> Path | None:
        """Return the way for a body that begins with `chunk`, `None` while that cannot be told."""
        dialect, limit_bytes = self._terms.dialect, self._terms.limit_bytes
        if self._deaf or dialect is None:
            return self._deaf_path()
        if self._decoder.is_identity:
            first = _SIGNIFICANT.search(chunk)
            if first is None:
                return None
            if is_event_stream(self._head.content_type, first[0]):
                return EventPath(
                    EventListener(self.ear, limit_bytes),
                    dialect.terminal_names,
                    hold=self._terms.hold,
                    alter=self._terms.alter,
                    limit_bytes=limit_bytes,
                )
        return BodyPath(self._decoder, self._listener, self.ear, hold=self._terms.hold)

    def _listener(self, first: bytes) -> Listener:
        return listener_for(first, self._head.content_type, self.ear, self._terms.limit_bytes)


def _never_events(content_type: str) -> bool:
    return "json" in content_type or "html" in content_type
