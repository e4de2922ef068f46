"""A client that speaks TLS and can end its own side alone, which asyncio's own cannot; and a certificate for the proxy."""

import asyncio
import atexit
import contextlib
import shutil
import ssl
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, cast

import trustme


@cache
def _authority() -> trustme.CA:
    return trustme.CA()


@cache
def certificate() -> Path:
    """Return a file with a certificate of this machine and its key: one for all tests of a process."""
    folder = tempfile.mkdtemp(prefix="cab-tests-")
    atexit.register(shutil.rmtree, folder)
    own = _authority().issue_cert("127.0.0.1", "localhost")
    own.private_key_and_cert_chain_pem.write_to_path(f"{folder}/own.pem")
    return Path(folder, "own.pem")


@cache
def client_context() -> ssl.SSLContext:
    """Return what a client that trusts that certificate speaks TLS with."""
    context = ssl.create_default_context()
    _authority().configure_trust(context)
    return context


class _Transport(asyncio.Transport):
    """The client's side."""

    def __init__(self, socket_side: asyncio.Transport, protocol: "_Protocol") -> None:
        super().__init__()
        self._socket_side = socket_side
        self._protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._protocol.tls.write(data)
        self._protocol.flush()

    def write_eof(self) -> None:
        """Say that nothing more comes: the connection stays open for what the other side sends."""
        self._protocol.end()

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self._protocol.end()
        self._socket_side.close()

    def abort(self) -> None:
        self._socket_side.abort()

    def is_closing(self) -> bool:
        return self._socket_side.is_closing()

    def pause_reading(self) -> None:
        self._socket_side.pause_reading()

    def resume_reading(self) -> None:
        self._socket_side.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._socket_side.get_extra_info(name, default)


class _Protocol(asyncio.Protocol):
    """Puts the streams of a client above TLS on a socket."""

    def __init__(self, streams: asyncio.StreamReaderProtocol, host: str) -> None:
        self.streams = streams
        self.opened = asyncio.get_running_loop().create_future()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = client_context().wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._is_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket_side = cast("asyncio.Transport", transport)
        self.transport = _Transport(self._socket_side, self)
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionResetError("closed in the handshake"))
        else:
            self.streams.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        self._go_on()

    def eof_received(self) -> bool:
        if self.opened.done():
            self.streams.eof_received()
        return self.opened.done()

    def pause_writing(self) -> None:
        self.streams.pause_writing()

    def resume_writing(self) -> None:
        self.streams.resume_writing()

    def end(self) -> None:
        if not self._is_ended:
            self._is_ended = True
            with contextlib.suppress(ssl.SSLError):  # the other side has not ended
                self.tls.unwrap()
            self.flush()

    def flush(self) -> None:
        if self._outgoing.pending and not self._socket_side.is_closing():
            self._socket_side.write(self._outgoing.read())

    def _go_on(self) -> None:
        try:
            if not self.opened.done():
                self.tls.do_handshake()
                self.streams.connection_made(self.transport)
                self.opened.set_result(None)
            while data := self.tls.read(1 << 16):
                self.streams.data_received(data)
            self.streams.eof_received()
        except ssl.SSLWantReadError:
            self.flush()
        except ssl.SSLError as error:
            if not self.opened.done():
                self.opened.set_exception(error)
            self._socket_side.abort()


async def open_tls_connection(
    host: str, port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection, as `asyncio.open_connection` does."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20, loop=loop)
    streams = asyncio.StreamReaderProtocol(reader, loop=loop)
    _, protocol = await loop.create_connection(lambda: _Protocol(streams, host), host, port)
    await protocol.opened
    return reader, asyncio.StreamWriter(protocol.transport, streams, reader, loop)
