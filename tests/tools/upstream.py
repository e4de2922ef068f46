"""An endpoint that plays a script of bytes, pauses and faults on a real socket.

It reads requests by hand, so that it can answer with bytes that no HTTP library would send.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import orjson


class Fault(Enum):
    """What a script can do apart from sending bytes."""

    CLOSE = "close"
    """Close the connection in the usual way."""
    RESET = "reset"
    """Break it: the peer sees a reset."""


Step = bytes | Fault | asyncio.Event | Callable[[], Awaitable[None]]
"""Bytes to send, a fault, or something to wait for."""


@dataclass
class Received:
    """One request as it arrived."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the peer closes while the script plays."""

    def header(self, name: str) -> str | None:
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


Script = Sequence[Step] | Callable[[Received], Sequence[Step]]


@dataclass
class ScriptedUpstream:
    """Plays `scripts` one after the other; the last one again and again."""

    scripts: list[Script]
    url: str = ""
    received: list[Received] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a request is here."""
    finished: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _played: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while (request := await _read_request(reader, writer)) is not None:
                self.received.append(request)
                self.arrived.set()
                script = self.scripts[min(self._played, len(self.scripts) - 1)]
                self._played += 1
                steps = script(request) if callable(script) else script
                if not await self._play(steps, request, reader, writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    async def _play(
        self,
        steps: Sequence[Step],
        request: Received,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Play a script; return whether the connection may be used again."""
        for step in steps:
            match step:
                case bytes():
                    writer.write(step)
                    await writer.drain()
                case Fault.CLOSE:
                    self.finished += 1
                    return False
                case Fault.RESET:
                    linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
                    sock: socket.socket = writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    self.finished += 1
                    return False
                case asyncio.Event():
                    if not await _wait_or_hang_up(step.wait(), request, reader):
                        return False
                case _:
                    if not await _wait_or_hang_up(step(), request, reader):
                        return False
        self.finished += 1
        return True


async def _wait_or_hang_up(what: Any, request: Received, reader: asyncio.StreamReader) -> bool:
    """Wait for something, but no longer than the peer stays."""
    loop = asyncio.get_running_loop()
    waiting = loop.create_task(what)
    peer = loop.create_task(reader.read(1))
    done, _ = await asyncio.wait({waiting, peer}, return_when=asyncio.FIRST_COMPLETED)
    if waiting in done:
        peer.cancel()
        await asyncio.gather(peer, return_exceptions=True)
        return True
    await asyncio.gather(peer, return_exceptions=True)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    request.hung_up.set()
    return False


async def _read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    lines = head.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    headers = [(k, v.strip()) for k, _, v in (line.partition(":") for line in lines[1:] if line)]
    lower = {k.lower(): v for k, v in headers}
    if lower.get("expect") == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = await reader.readexactly(int(lower.get("content-length", "0")))
    return Received(method, target, headers, body)


@asynccontextmanager
async def scripted_upstream(*scripts: Script) -> AsyncIterator[ScriptedUpstream]:
    """Run an endpoint on a free port of this machine."""
    upstream = ScriptedUpstream(list(scripts))
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, limit=1 << 28)
    host, port = server.sockets[0].getsockname()[:2]
    upstream.url = f"http://{host}:{port}"
    try:
        yield upstream
    finally:
        server.close()
        for writer in list(upstream.writers):
            writer.close()


def json_answer(body: Any, status: str = "200 OK", *headers: str) -> bytes:
    """Return a whole answer with a JSON body of announced length."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    head = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers]
    return "\r\n".join([*head, f"Content-Length: {len(raw)}", "", ""]).encode() + raw


def sse_head(*headers: str) -> bytes:
    """Return the head of a streamed answer in chunks."""
    head = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked"]
    return "\r\n".join([*head, *headers, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    """Return one HTTP chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def event(data: Any) -> bytes:
    """Return one server-sent event."""
    raw = data if isinstance(data, bytes) else orjson.dumps(data)
    return b"data: " + raw + b"\n\n"


DONE = event(b"[DONE]")
