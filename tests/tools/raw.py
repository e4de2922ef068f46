"""A client on the bare socket: it sends the bytes it is given and reads answers as they are on the wire."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from tests.tools.tls import open_tls_connection

Framing = Literal["none", "length", "chunked", "close"]
"""What says where a body ends: nothing (it has none), its length, its chunks, or the connection."""
Header = tuple[str, str]


@dataclass
class Answer:
    """One answer, spelt as it came."""

    version: str = ""
    status: int = 0
    """0 if no answer came."""
    reason: str = ""
    headers: list[Header] = field(default_factory=list[Header])
    framing: Framing = "none"
    pieces: list[bytes] = field(default_factory=list[bytes])
    """The chunks of the body; a body without chunks is one piece."""
    trailers: list[Header] = field(default_factory=list[Header])
    complete: bool = False
    """Whether the body came whole by its framing."""
    hung_up: bool = False
    """Whether the client left before that."""
    interim: list[int] = field(default_factory=list[int])
    """Statuses of the 1xx answers before it."""

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        return next(iter(self.values(name)), None)


Leave = Callable[[Answer], bool]
"""Asked after each piece: has the client seen enough?"""


@dataclass
class Line:
    """An open connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, *data: bytes) -> None:
        self.writer.write(b"".join(data))

    async def answer(self, method: str = "POST") -> Answer:
        """Return the next answer; raises IncompleteReadError if the head does not come whole."""
        async with asyncio.timeout(20):
            return await read_answer(self.reader, method)

    async def rest(self) -> bytes:
        """Return what comes until the peer closes."""
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionError):
                return await self.reader.read()
            return b""


def connected(url: str) -> AbstractAsyncContextManager[Line]:
    """Open a connection, with TLS where the URL says so."""
    where = urlsplit(url)
    if where.scheme == "https":
        return _closing(open_tls_connection(str(where.hostname), where.port or 0))
    return raw_connected(url)


def raw_connected(url: str) -> AbstractAsyncContextManager[Line]:
    """Open a connection without TLS, whatever the URL says."""
    where = urlsplit(url)
    return _closing(asyncio.open_connection(where.hostname, where.port, limit=1 << 20))


@asynccontextmanager
async def _closing(
    opening: Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]],
) -> AsyncGenerator[Line]:
    reader, writer = await opening
    try:
        yield Line(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def exchange(url: str, raw: bytes, method: str = "POST") -> Answer:
    """Send one request on a connection of its own and return its answer."""
    async with connected(url) as line:
        line.send(raw)
        return await line.answer(method)


def request(
    target: str,
    body: bytes | None = None,
    *headers: str,
    method: str = "POST",
    version: str = "HTTP/1.1",
) -> bytes:
    """Return the bytes of a request; a body goes with its length, None goes without any."""
    lines = [f"{method} {target} {version}", "Host: localhost", *headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def chunked(target: str, *pieces: bytes, trailers: str = "", method: str = "POST") -> bytes:
    """Return the bytes of a request whose body goes in chunks."""
    head = request(target, None, "Transfer-Encoding: chunked", method=method)
    framed = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return head + framed + b"0\r\n" + trailers.encode() + b"\r\n"


async def read_answer(
    reader: asyncio.StreamReader, method: str, leave: Leave | None = None
) -> Answer:
    """Read one answer, whole or as far as it comes, or until the client has seen enough."""
    interim: list[int] = []
    while (answer := await _read_head(reader)).status // 100 == 1 and answer.status != 101:
        interim.append(answer.status)
    answer.interim = interim
    if leave is not None and leave(answer):
        answer.hung_up = True
        return answer
    if method == "HEAD" or answer.status in {101, 204, 304}:
        answer.complete = True
        return answer
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        async for _ in _read_body(reader, answer):
            if leave is not None and leave(answer):
                answer.hung_up = True
                return answer
        answer.complete = True
    return answer


async def _read_head(reader: asyncio.StreamReader) -> Answer:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    version, status, reason = (f"{first}  ").split(" ", 2)
    return Answer(version, int(status), reason.strip(), _headers(lines))


def _headers(lines: list[str]) -> list[Header]:
    split = (line.partition(":") for line in lines if line)
    return [(name, value.strip(" \t")) for name, _, value in split]


async def _read_body(reader: asyncio.StreamReader, answer: Answer) -> AsyncIterator[None]:
    """Read the body and yield after each piece of it."""
    if answer.values("Transfer-Encoding"):
        answer.framing = "chunked"
        async for _ in _read_chunks(reader, answer):
            yield
    elif lengths := answer.values("Content-Length"):
        answer.framing = "length"
        answer.pieces = [b""]
        async for _ in _read_piece(reader, answer, int(lengths[0])):
            yield
    else:
        answer.framing = "close"
        answer.pieces = [await reader.read()]


async def _read_chunks(reader: asyncio.StreamReader, answer: Answer) -> AsyncIterator[None]:
    while size := int(await reader.readuntil(b"\r\n"), 16):
        answer.pieces.append(b"")
        async for _ in _read_piece(reader, answer, size):
            pass
        await reader.readexactly(2)
        yield
    lines: list[str] = []
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        lines.append(line.decode("latin-1").rstrip("\r\n"))
    answer.trailers = _headers(lines)


async def _read_piece(
    reader: asyncio.StreamReader, answer: Answer, size: int
) -> AsyncIterator[None]:
    """Read so many bytes into the last piece; what came before a reset is kept as well."""
    while missing := size - len(answer.pieces[-1]):
        data = await reader.read(missing)
        if not data:
            raise asyncio.IncompleteReadError(b"", missing)
        answer.pieces[-1] += data
        yield
