"""TLS between a client's socket and the protocol that serves it, on any event loop.

The event loops' own TLS closes a connection as soon as its client has ended its side: a client that sends
its request, says that nothing more comes, and waits for the answer would never get it. Here the end of a
side is what it is on a bare socket.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Iterable
from typing import Any, cast

Buffer = bytes | bytearray | memoryview

_READ_BYTES = 1 << 14
"""The most that a record of TLS holds."""
_RECORDS_AT_ONCE = 16
_MOST_REPLIED_BYTES = 1 << 17
"""A handshake with a long chain of certificates takes some KB, a new key some bytes."""


class TlsConnection(asyncio.Protocol):
    """The protocol of a socket on which a client speaks TLS; what is inside is another protocol's.

    That one is told of the connection at once, so that the handshake is within its limits. A connection
    that is closed before the end of its handshake ends without an answer.

    Args:
        context: The certificate, and what is agreed on.
        inner: Serves what is inside.
        plain_answer: Sent to a client that speaks HTTP without TLS.
    """

    def __init__(
        self, context: ssl.SSLContext, inner: asyncio.Protocol, plain_answer: bytes
    ) -> None:
        self.inner = inner
        self._plain_answer = plain_answer
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.context = context
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._is_open = False
        """Whether the handshake is over."""
        self._is_ended = False
        """Whether the client has ended its side."""
        self._stays_open = False
        """Whether the connection stays open after that."""
        self._is_paused = False
        self._replied_bytes = 0
        """What TLS itself has answered: a client that asks for it and reads nothing must not fill the memory."""
        self._unsent: list[bytes] = []
        """What was written before the handshake was over."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass the connection on; its handshake comes."""
        self._raw = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        self.inner.connection_made(TlsTransport(self, self._raw))

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the end of the connection on."""
        self.inner.connection_lost(exc)
        self.inner = asyncio.Protocol()  # else the two would keep each other

    def pause_writing(self) -> None:
        """Tell that the client does not keep up."""
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        """Tell that it does."""
        self.inner.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Take what came on the socket; nothing comes behind the end of a side."""
        if not self._is_ended:
            self._incoming.write(data)
            self._go_on()

    def eof_received(self) -> bool:
        """Take the end of the client's side of the socket; return whether the connection stays open."""
        self._end()
        return self._stays_open

    def write(self, data: Buffer) -> None:
        """Send bytes; none on a connection that is closed."""
        if self._raw.is_closing():
            return
        if not self._is_open:
            self._unsent.append(bytes(data))
            return
        try:
            self.tls.write(data)  # into memory: it always takes all
        except ssl.SSLError:  # the other side has broken it off
            self.abort()
            return
        self._flush()

    def pause(self) -> None:
        """Take in nothing more."""
        self._is_paused = True
        self._raw.pause_reading()

    def resume(self) -> None:
        """Take in more, and first what is here."""
        self._is_paused = False
        self._raw.resume_reading()
        asyncio.get_running_loop().call_soon(self._go_on)

    def close(self) -> None:
        """Close the connection behind what was written."""
        if self._raw.is_closing():
            return
        if not self._is_open:
            self._raw.abort()
            return
        with contextlib.suppress(ssl.SSLError):  # that the other side has not ended is no fault
            self.tls.unwrap()
        self._flush()
        self._raw.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._raw.abort()

    def _go_on(self) -> None:
        """Read what is here."""
        if self._raw.is_closing():
            return
        try:
            if not self._is_open:
                self.tls.do_handshake()
                self._is_open = True
                unsent, self._unsent = self._unsent, []
                for data in unsent:
                    self.tls.write(data)
            self._read()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._fail(error)
            return
        self._replied_bytes += self._outgoing.pending
        if self._replied_bytes > _MOST_REPLIED_BYTES:
            self.abort()
        self._flush()

    def _read(self) -> None:
        """Pass on what is here, as far as it is wanted: what came at once in one piece, as on a bare socket.

        Raises:
            SSLError: It cannot be read, or the rest of it has not come.
        """
        while not (self._is_paused or self._is_ended or self._raw.is_closing()):
            pieces: list[bytes] = []
            try:
                while self._incoming.pending and len(pieces) < _RECORDS_AT_ONCE:
                    pieces.append(self.tls.read(_READ_BYTES))
                    if not pieces[-1]:
                        break
            finally:
                if data := b"".join(pieces):
                    self.inner.data_received(data)
            if not pieces:
                break
            if not pieces[-1]:
                self._end()

    def _end(self) -> None:
        """Take note that the client has ended its side."""
        if self._is_ended or self._raw.is_closing():
            return
        self._is_ended = True
        self._stays_open = bool(self._is_open and self.inner.eof_received())
        if not self._stays_open:
            self.close()

    def _fail(self, error: ssl.SSLError) -> None:
        """End a connection that cannot be read."""
        if not self._is_open and error.reason == "HTTP_REQUEST":
            self._raw.write(self._plain_answer)
            self._raw.close()
            return
        self._flush()  # an alert says why
        self._raw.close() if not self._is_open else self._raw.abort()

    def _flush(self) -> None:
        if self._outgoing.pending and not self._raw.is_closing():
            self._raw.write(self._outgoing.read())


class TlsTransport(asyncio.Transport):
    """What is inside of a client's TLS, as a transport.

    Args:
        connection: Reads and writes it.
        raw: The socket's transport.
    """

    def __init__(self, connection: TlsConnection, raw: asyncio.Transport) -> None:
        super().__init__()
        self._connection = connection
        self._raw = raw

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's
        """Return what is known of the connection."""
        if name == "sslcontext":
            return self._connection.context
        if name == "ssl_object":
            return self._connection.tls
        return self._raw.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Have another protocol serve the connection."""
        self._connection.inner = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return what serves the connection."""
        return self._connection.inner

    def is_closing(self) -> bool:
        """Return whether the connection is closed, or about to be."""
        return self._raw.is_closing()

    def close(self) -> None:
        """Close the connection behind what was written."""
        self._connection.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._connection.abort()

    def is_reading(self) -> bool:
        """Return whether more is taken in."""
        return self._raw.is_reading()

    def pause_reading(self) -> None:
        """Take in nothing more."""
        self._connection.pause()

    def resume_reading(self) -> None:
        """Take in more."""
        self._connection.resume()

    def write(self, data: Buffer) -> None:
        """Send bytes."""
        if data:
            self._connection.write(data)

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        """Send bytes that lie in pieces."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """Return whether the own side can be ended alone: it cannot."""
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Say how much may wait to be sent until that is told."""
        self._raw.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Return how many bytes wait to be sent."""
        return self._raw.get_write_buffer_size()
