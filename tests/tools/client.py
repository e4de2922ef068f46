"""A client that sees what is really on the wire: heads, chunks, and whether an answer is whole."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson


@dataclass
class Seen:
    """What a client got."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    pieces: list[bytes] = field(default_factory=list[bytes])
    """The HTTP chunks of the body, or the body as it came."""
    complete: bool = False
    """Whether the body came whole by the rules of HTTP."""
    hung_up: bool = False
    """Whether the client left before that."""

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def header(self, name: str) -> str | None:
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)


Leave = Callable[[Seen], bool]
"""Asked after each piece: has the client seen enough?"""


async def post(
    url: str,
    target: str,
    body: object,
    *headers: str,
    leave: Leave | None = None,
    method: str = "POST",
) -> Seen:
    """Send one request on a connection of its own and return what came.

    Args:
        url: Where to, without a path.
        target: Path and query.
        body: JSON value, or bytes.
        *headers: Further header lines.
        leave: Hang up as soon as this says so; asked once more when the head is there.
        method: The method.
    """
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=1 << 26)
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {where.netloc}",
        "Content-Type: application/json",
    ]
    head = "\r\n".join([*lines, *headers, f"Content-Length: {len(raw)}", "", ""])
    writer.write(head.encode() + raw)
    seen = Seen()
    try:
        async with asyncio.timeout(30):
            await _read_answer(reader, seen, leave or (lambda _: False), method)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return seen


async def _read_answer(reader: asyncio.StreamReader, seen: Seen, leave: Leave, method: str) -> None:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    seen.status = int(lines[0].split(" ")[1])
    pairs = (line.partition(":") for line in lines[1:] if line)
    seen.headers = [(name, value.strip()) for name, _, value in pairs]
    if leave(seen):
        seen.hung_up = True
    elif method == "HEAD" or seen.status in {204, 304}:
        seen.complete = True
    elif (seen.header("Transfer-Encoding") or "").lower() == "chunked":
        await _read_chunks(reader, seen, leave)
    else:
        await _read_sized(reader, seen, leave)


async def _read_chunks(reader: asyncio.StreamReader, seen: Seen, leave: Leave) -> None:
    while size := int(await reader.readuntil(b"\r\n"), 16):
        seen.pieces.append((await reader.readexactly(size + 2))[:-2])
        if leave(seen):
            seen.hung_up = True
            return
    await reader.readexactly(2)
    seen.complete = True


async def _read_sized(reader: asyncio.StreamReader, seen: Seen, leave: Leave) -> None:
    length = int(seen.header("Content-Length") or 0)
    while length > (got := len(seen.body)):
        piece = await reader.read(length - got)
        if not piece:
            return
        seen.pieces.append(piece)
        if leave(seen):
            seen.hung_up = True
            return
    seen.complete = True
