"""Clients in a process of their own: closed loops of calls, paced streams, staggered and burst starts.

`measure` runs this module with a `Load` and returns what it `Measured`. The clients read the contender's
processor time themselves, at the moments between which they count.
"""

import asyncio
import gc
import random
import re
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Literal, cast

import orjson
import uvloop

from benchmarks.speed import processes
from benchmarks.speed.messages import TIME, AnswerReader, chat, requests

Kind = Literal["calls", "streams", "staggered", "burst", "idle"]
WARM_S = 0.3
BURSTS = 3
PAUSE_S = 0.5
"""Longest pause of a staggered stream before its next start."""
_TOKENS = re.compile(rb'"total_tokens": ?(\d+)')


@dataclass(frozen=True)
class Load:
    """What clients do."""

    kind: Kind
    """`calls`: each connection calls again at once. `streams`: all are open while it is measured. `staggered`:
    each starts again after a random pause. `burst`: all start together. `idle`: all are open and silent."""
    connections: int = 32
    seconds: float = 2.5
    """How long is counted."""
    body_bytes: int = 700
    rate: float = 50
    """Events per second of each stream."""
    ids: bool = False
    """Whether each request's head has ids of its own."""
    port: int = 0
    roots: tuple[int, ...] = ()
    """The contender's processes, without what they started."""
    key: str = "any"
    headers: dict[str, str] = field(default_factory=dict[str, str])
    authority: str | None = None
    """File of the certificate that vouches for the contender; None: it speaks HTTP without TLS."""


@dataclass
class Measured:
    """What came of a load; None is unknown. Times are those of single calls or streams, in milliseconds."""

    answers: int = 0
    """Whole answers, also those before and after the time that is counted."""
    tokens: int = 0
    """Their sum, as the answers state it."""
    counted: int = 0
    """Calls, or events of streams, in that time."""
    seconds: float = 0.0
    cpu_s: float | None = None
    """Processor time of the contender's processes in that time."""
    latency_ms: list[float] = field(default_factory=list[float])
    """Until the first event of a stream, or the end of a call."""
    delay_ms: list[float] = field(default_factory=list[float])
    """From an event's send time until it was here."""
    memory_bytes: int | None = None
    """What the streams added to the contender's resident memory."""

    @property
    def cpu_us(self) -> float | None:
        """Processor time per call or event, in microseconds."""
        return self.cpu_s / self.counted * 1e6 if self.cpu_s and self.counted else None


def measure(load: Load) -> Measured:
    """Run the clients.

    Raises:
        RuntimeError: A connection broke, or an answer was not a 200.
    """
    command = [sys.executable, "-m", "benchmarks.speed.load", orjson.dumps(asdict(load)).decode()]
    ran = subprocess.run(command, capture_output=True, check=False, timeout=300)
    if ran.returncode:
        raise RuntimeError(f"{load}: {ran.stderr.decode()[-2000:]}")
    return Measured(**orjson.loads(ran.stdout))


class Connection(asyncio.Protocol):
    """One connection of a client; one request at a time."""

    transport: asyncio.Transport

    def __init__(self, clients: "Clients") -> None:
        self._clients = clients
        self._reader: AnswerReader | None = None
        self._body = b""
        self.sent_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's only act like one

    def send(self, request: bytes) -> None:
        """Send a request."""
        self._reader, self._body = AnswerReader(), b""
        self.sent_ns = time.monotonic_ns()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        reader, now_ns = self._reader, time.monotonic_ns()
        if reader is None:
            self._clients.fail("bytes after an answer")
            return
        self._body += reader.feed(data)
        if self._clients.streaming:
            self._events(now_ns)
        if reader.done:
            self._reader = None
            if reader.status != 200:
                self._clients.fail(f"{reader.status}: {self._body[:300]!r}")
                return
            self._clients.answered(self, self._body, now_ns)

    def _events(self, now_ns: int) -> None:
        end = self._body.rfind(b"\n\n") + 2
        if end > 1:
            sent = TIME.findall(self._body, 0, end)
            self._body = self._body[end:] if b'"usage":{' not in self._body else self._body
            if sent:
                self._clients.events(self, [now_ns - int(ns) for ns in sent], now_ns)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._reader:
            self._clients.fail(f"a connection broke: {exc}")


class Clients:
    """All connections of a load, and what they measure."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.streaming = load.kind != "calls"
        self.measured = Measured()
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._begun: set[Connection] = set()
        """Streams whose first event came."""
        self._busy = 0
        self._counting = self._stopping = False
        self._connections: list[Connection] = []
        self._all_begun = asyncio.Event()
        self._next: Callable[[], bytes] = self._requests(events=1)

    def _requests(self, events: int) -> Callable[[], bytes]:
        load = self.load
        options = f" events={events} rate={load.rate}" if self.streaming else ""
        body = chat(load.body_bytes, options, stream=self.streaming)
        return requests(body, key=load.key, headers=load.headers, ids=load.ids)

    async def run(self) -> Measured:
        """Return what was measured."""
        authority = self.load.authority
        tls = None if authority is None else ssl.create_default_context(cafile=authority)
        for _ in range(self.load.connections):
            _, connection = await self._loop.create_connection(
                lambda: Connection(self), "127.0.0.1", self.load.port, ssl=tls
            )
            self._connections.append(connection)
        pids = processes.tree(list(self.load.roots))
        runs = {
            "calls": self._calls,
            "streams": self._streams,
            "staggered": self._staggered,
            "burst": self._bursts,
            "idle": self._idle,
        }
        await runs[self.load.kind](pids)
        for connection in self._connections:
            connection.transport.close()
        return self.measured

    def fail(self, why: str) -> None:
        """End the run with an error."""
        if not self._over.done():
            self._over.set_exception(RuntimeError(why))

    def answered(self, connection: Connection, body: bytes, now_ns: int) -> None:
        """Note a whole answer."""
        self.measured.answers += 1
        if found := _TOKENS.search(body):
            self.measured.tokens += int(found[1])
        self._busy -= 1
        if self.load.kind == "calls" and self._counting:
            self.measured.counted += 1
            self.measured.latency_ms.append((now_ns - connection.sent_ns) / 1e6)
        if not self._stopping and self.load.kind == "calls":
            self._send(connection)
        elif not self._stopping and self.load.kind == "staggered":
            self._loop.call_later(random.uniform(0, PAUSE_S), self._send, connection)
        elif self._stopping and not self._busy and not self._over.done():
            self._over.set_result(None)

    def events(self, connection: Connection, delays_ns: list[int], now_ns: int) -> None:
        """Note events of a stream."""
        if self._counting:
            self.measured.counted += len(delays_ns)
            self.measured.delay_ms += [delay / 1e6 for delay in delays_ns]
        if connection not in self._begun:
            self._begun.add(connection)
            if self._counting:
                self.measured.latency_ms.append((now_ns - connection.sent_ns) / 1e6)
            if len(self._begun) == len(self._connections):
                self._all_begun.set()

    def _send(self, connection: Connection, request: bytes | None = None) -> None:
        if self._stopping and self.load.kind == "staggered":
            return
        self._begun.discard(connection)
        self._busy += 1
        connection.send(request or self._next())

    async def _wait(self, seconds: float) -> None:
        """Wait, unless something fails."""
        await asyncio.wait({self._over}, timeout=seconds)
        if self._over.done():
            self._over.result()

    async def _count(self, pids: list[int]) -> None:
        """Count for the time of the load."""
        before_s, began_s = processes.cpu_s(pids), time.monotonic()
        self._counting = True
        await self._wait(self.load.seconds)
        self._counting = False
        self.measured.cpu_s = processes.cpu_s(pids) - before_s if pids else None
        self.measured.seconds = time.monotonic() - began_s

    async def _finish(self) -> None:
        self._stopping = True
        if self._busy:
            await asyncio.wait_for(self._over, 120)

    async def _calls(self, pids: list[int]) -> None:
        for connection in self._connections:
            self._send(connection)
        await self._wait(WARM_S)
        await self._count(pids)
        await self._finish()

    async def _streams(self, pids: list[int]) -> None:
        ramp_s = len(self._connections) / 500
        began_s = self._loop.time()
        for number, connection in enumerate(self._connections):
            due_s = began_s + number * ramp_s / len(self._connections)
            await self._wait(max(0, due_s - self._loop.time()))
            left_s = began_s + ramp_s + WARM_S + self.load.seconds - self._loop.time()
            self._next = self._requests(events=max(2, int((left_s + 0.5) * self.load.rate)))
            self._send(connection)
        await self._wait(WARM_S)
        await self._count(pids)
        await self._finish()

    async def _staggered(self, pids: list[int]) -> None:
        self._next = self._requests(events=max(2, int(self.load.rate)))
        for connection in self._connections:
            self._loop.call_later(random.uniform(0, PAUSE_S), self._send, connection)
        await self._wait(2 * PAUSE_S)
        await self._count(pids)
        await self._finish()

    async def _bursts(self, _: list[int]) -> None:
        self._next = self._requests(events=5)
        self._counting = True
        for number in range(BURSTS + 1):  # the first opens the connections to the endpoint
            self._over = self._loop.create_future()
            prepared = [self._next() for _ in self._connections]
            for connection, request in zip(self._connections, prepared, strict=True):
                self._send(connection, request)
            self._stopping = True
            await asyncio.wait_for(self._over, 120)
            if not number:
                self.measured.latency_ms.clear()
                self.measured.delay_ms.clear()

    async def _idle(self, pids: list[int]) -> None:
        self._next = self._requests(events=2)
        await asyncio.sleep(WARM_S)
        before = processes.memory_bytes(pids)
        for connection in self._connections:
            self._send(connection)
            await self._wait(0.002)  # not a burst: its buffers would count
        await asyncio.wait_for(self._all_begun.wait(), 60)
        await self._wait(WARM_S)
        self.measured.memory_bytes = processes.memory_bytes(pids) - before if pids else None
        await self._finish()


def percentile(values: list[float], share: float) -> float | None:
    """Return the value that this share of the values does not exceed; None of none."""
    if len(values) < 2:
        return values[0] if values else None
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1]


async def main(load: Load) -> None:
    gc.disable()  # a collection here would be a delay there
    measured = await Clients(load).run()
    sys.stdout.buffer.write(orjson.dumps(asdict(measured)))


if __name__ == "__main__":
    processes.allow_many_files()
    uvloop.run(main(Load(**orjson.loads(sys.argv[1]))))
