"""A wire tap: passes bytes on between a proxy and its upstream, and keeps what went up.

What went up is then read in the strictest way, so that a request which two parsers could cut
differently does not pass for a good one.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_LINE = re.compile(rb"[!-~]+ /[!-~]* HTTP/1\.1")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([^\x00-\x08\x0a-\x1f\x7f]*)")


@dataclass(frozen=True)
class Sent:
    """One request as it went over the wire."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass
class Tap:
    """What went up, one buffer for each connection."""

    url: str
    connections: list[bytearray] = field(default_factory=list[bytearray])

    def requests(self) -> list[Sent]:
        """Return all requests; fails if one of them can be read in two ways."""
        return [sent for data in self.connections for sent in strictly(bytes(data))]


def strictly(data: bytes) -> list[Sent]:
    """Cut a connection's bytes into requests that end by one `Content-Length`, or have no body."""
    found: list[Sent] = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end, f"no end of the head: {head[:200]!r}"
        line, *fields = head.split(b"\r\n")
        assert _LINE.fullmatch(line), line
        matches = [_HEADER.fullmatch(each) for each in fields]
        headers = [(m[1], m[2]) for m in matches if m is not None]
        assert len(headers) == len(fields), fields
        sent = Sent(line, headers, b"")
        assert len(sent.values(b"Host")) == 1
        assert not sent.values(b"Transfer-Encoding")
        lengths = sent.values(b"Content-Length")
        assert len(lengths) <= 1
        size = int(lengths[0]) if lengths else 0
        assert len(data) >= size, "the body is shorter than its length"
        found.append(Sent(line, headers, data[:size]))
        data = data[size:]
    return found


@asynccontextmanager
async def tapped(url: str) -> AsyncGenerator[Tap]:
    """Run a tap in front of an upstream."""
    where = urlsplit(url)
    tap = Tap("")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept = bytearray()
        tap.connections.append(kept)
        up_reader, up_writer = await asyncio.open_connection(where.hostname, where.port)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_pass_on(reader, up_writer, kept))
            tasks.create_task(_pass_on(up_reader, writer, bytearray()))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    tap.url = f"http://{host}:{port}"
    try:
        yield tap
    finally:
        server.close()


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray
) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            kept += data
            writer.write(data)
            await writer.drain()
    writer.close()
