"""What it costs a proxy that somebody looks: its processor time with viewers over that without, in pairs.

    python -m benchmarks.speed.live [--pairs 24] [--seconds 1]

Two hundred cells call all the time. In turn nobody looks, and two do: one reads the web page's stream, one is
`cab top` on a terminal. Only ratios within a pair count, since the two halves of one are a second apart, and the
order of the halves changes from pair to pair; so what else the machine does meets both alike.
"""

import argparse
import asyncio
import contextlib
import fcntl
import itertools
import os
import pty
import statistics
import struct
import tempfile
import termios
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from math import comb
from pathlib import Path
from typing import NamedTuple

import uvloop

from benchmarks.programs import CAB
from benchmarks.speed.contenders import ROOT, cab, running_endpoint
from benchmarks.speed.load import Clients, Connection, Load
from benchmarks.speed.messages import chat, requests
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.auth.cell_keys import mint
from cab.proxy.auth.signing_keys import load_signing_keys

CELLS = 200
LOADS = {
    "calls": Load("calls", CELLS, seconds=1),
    "streams": Load("staggered", CELLS, seconds=1),
}
"""By name: answers at once, so that the proxy is busy all the time, and streams of a second with pauses."""
PAIRS = 8
"""In each round of `make bench`."""
_SOCKET = "live.sock"
_SETTLE_S = 0.5
"""From when viewers have come or gone until it is counted: what a first look reads is not part of it."""
_STATE_BYTES = 1000
"""What has got more has seen a state."""
_LIMITS = KeyLimits(10**9, 10**12)


class Pair(NamedTuple):
    """Processor time of the proxy per call or event, in microseconds."""

    alone_us: float
    watched_us: float
    feed_us: float
    """The part of the thread that follows the ledger for viewers: less than all of it, and hardly any noise."""

    @property
    def feed_ratio(self) -> float:
        """What it costs with that thread over what it costs without it, in the same second."""
        return self.watched_us / (self.watched_us - self.feed_us)

    @property
    def ratio(self) -> float:
        """What it costs with viewers over what it costs without."""
        return self.watched_us / self.alone_us


class Interval(NamedTuple):
    """A median, and between what and what that of all such pairs lies."""

    median: float
    low: float
    high: float


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Return the median and its interval from order statistics (of the binomial), None of no values.

    With fewer than six values no two of them are far enough apart; then it is their range.
    """
    if not values:
        return None
    ordered, count = sorted(values), len(values)
    outside = itertools.accumulate(2 * comb(count, k) / 2**count for k in range(count))
    left_out = sum(1 for chance in outside if chance <= 1 - confidence)
    low = min(max(left_out - 1, 0), (count - 1) // 2)
    return Interval(statistics.median(ordered), ordered[low], ordered[-1 - low])


def measure(folder: Path, load: Load, pairs: int) -> list[Pair]:
    """Run a proxy with cells that call, and return what each pair of rounds came to.

    Args:
        folder: Takes the ledger and logs.
        load: One of `LOADS`, or a smaller one.
        pairs: How many.

    Raises:
        RuntimeError: An answer is not whole, a viewer has ended, or the ledger does not agree with the clients.
    """
    with running_endpoint(folder) as endpoint:
        with cab("--control-socket", _SOCKET, keys=True)(endpoint, folder) as proxy:
            keys = _keys(folder / "signing.key", load.connections)
            asked = replace(load, port=proxy.port, roots=proxy.roots)
            clients = uvloop.run(_run(asked, keys, os.path.relpath(folder / _SOCKET), pairs))
            proxy.add(clients.measured)
        proxy.check()
    return clients.pairs


def _keys(signing: Path, count: int) -> list[str]:
    ring, now_s = load_signing_keys(signing), int(time.time())
    cells = (f"bench/live/bench-model/f/t{number}" for number in range(count))
    return [mint(ring, cell, 86_400, now_s, _LIMITS) for cell in cells]


async def _run(load: Load, keys: list[str], socket: str, pairs: int) -> "CellClients":
    clients = CellClients(load, keys, socket, pairs)
    await clients.run()
    return clients


class CellClients(Clients):
    """Connections of which each is a cell with a key of its own, and viewers that come and go.

    Args:
        load: What they do; its seconds are those of each half of a pair.
        keys: One of each cell.
        socket: The proxy's control socket; a path from here, since that of a socket may not be long.
        pairs: How many are counted.
    """

    def __init__(self, load: Load, keys: list[str], socket: str, pairs: int) -> None:
        super().__init__(load)
        self.pairs: list[Pair] = []
        self._wanted = pairs
        self._socket = socket
        options = f" events={load.rate:.0f} rate={load.rate}" if self.streaming else ""
        body = chat(load.body_bytes, options, stream=self.streaming)
        self._free = [requests(body, key=key, ids=True) for key in keys]
        self._makers: dict[Connection, Callable[[], bytes]] = {}

    def _send(self, connection: Connection, request: bytes | None = None) -> None:
        if connection not in self._makers:
            self._makers[connection] = self._free.pop()
        super()._send(connection, request or self._makers[connection]())

    async def _count(self, pids: list[int]) -> None:
        for number in range(self._wanted):
            found: dict[bool, float] = {}
            others, feed_us = set(_thread_ns(pids)), 0.0
            for watched in (False, True) if number % 2 else (True, False):
                async with self._viewers() if watched else contextlib.nullcontext():
                    await self._wait(_SETTLE_S)
                    before = _thread_ns(pids)
                    found[watched] = await self._half(pids)
                    if watched:
                        feed_us = _feed_us(before, _thread_ns(pids), others) / self.measured.counted
            self.pairs.append(Pair(found[False], found[True], feed_us))

    async def _half(self, pids: list[int]) -> float:
        self.measured.counted = 0
        await super()._count(pids)
        self.measured.latency_ms.clear()
        self.measured.delay_ms.clear()
        if self.measured.cpu_us is None:
            raise RuntimeError("the proxy has answered nothing")
        return self.measured.cpu_us

    @contextlib.asynccontextmanager
    async def _viewers(self) -> AsyncIterator[None]:
        async with _page(self._socket) as first, _top(self._socket) as second:
            readers = [first, second]
            await _seen(readers)
            yield
            await _seen(readers)


class _Reader(asyncio.Protocol):
    """What a viewer got since it was last asked."""

    def __init__(self) -> None:
        self.bytes = 0
        self.saw = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.bytes += len(data)
        if self.bytes > _STATE_BYTES:
            self.saw.set()


async def _seen(readers: list[_Reader]) -> None:
    """Return once each viewer has seen a state.

    Raises:
        RuntimeError: One sees nothing any more.
    """
    for reader in readers:
        reader.bytes = 0
        reader.saw.clear()
    try:
        async with asyncio.timeout(60):
            for reader in readers:
                await reader.saw.wait()
    except TimeoutError as error:
        raise RuntimeError("a viewer sees nothing") from error


@contextlib.asynccontextmanager
async def _page(socket: str) -> AsyncIterator[_Reader]:
    """Read the stream of the web page."""
    loop = asyncio.get_running_loop()
    sink, reader = await loop.create_unix_connection(_Reader, socket)
    sink.write(b"GET /cab/live/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    try:
        yield reader
    finally:
        sink.close()


@contextlib.asynccontextmanager
async def _top(socket: str) -> AsyncIterator[_Reader]:
    """Run `cab top` on a terminal."""
    reader, (ours, theirs) = _Reader(), pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 50, 160, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *(*CAB, "top", "--control", f"unix:{socket}"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            reader.data_received(os.read(ours, 1 << 16))
        except OSError:  # it has ended
            loop.remove_reader(ours)

    loop.add_reader(ours, read)
    try:
        yield reader
    finally:
        loop.remove_reader(ours)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        os.close(ours)


def _feed_us(before: dict[str, int], after: dict[str, int], others: set[str]) -> float:
    """Return what the threads have used that came with the viewers."""
    return sum(ns - before.get(name, 0) for name, ns in after.items() if name not in others) / 1000


def _thread_ns(pids: list[int]) -> dict[str, int]:
    """Return the processor time of each thread of some processes, in ns."""
    found: dict[str, int] = {}
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                found[task.name] = int((task / "schedstat").read_text().split()[0])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--seconds", type=float, help="of each half of a pair")
    options = parser.parse_args()
    for name, load in LOADS.items():
        with tempfile.TemporaryDirectory(prefix="cab-bench-", dir=ROOT) as folder:
            asked = replace(load, seconds=options.seconds or load.seconds)
            pairs = measure(Path(folder), asked, options.pairs)
        found = interval([pair.ratio for pair in pairs])
        assert found is not None
        feed = interval([pair.feed_ratio for pair in pairs])
        assert feed is not None
        alone = statistics.median(pair.alone_us for pair in pairs)
        print(
            f"{name}: {alone:.1f} us without viewers; with two of them {found.median:.3f} times as much, "
            f"{found.low:.3f} to {found.high:.3f} (95 %, {len(pairs)} pairs);"
            f" with the thread that reads for them {feed.median:.3f}, {feed.low:.3f} to {feed.high:.3f}"
        )


if __name__ == "__main__":
    main()
