"""Clients of the soak, in a process of their own: whole and streamed calls at a steady rate, some of them faulty.

It prints one JSON object when the time is over: how many calls ended in which way.
"""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Callable
from typing import Literal, cast

import orjson
import uvloop

from benchmarks.speed.messages import AnswerReader, chat, requests
from benchmarks.speed.processes import allow_many_files

Ending = Literal["completed", "upstream_error", "upstream_cut", "client_gone", "unexpected"]
"""In the words of the ledger."""
IDLE = 64
"""Connections that are kept for later calls: what a slow moment opened must not look like growth."""
MOST_CALLS = 200
"""Calls at a time: on a machine that others use, half load must not become a crowd whose requests come so late
that the proxy gives up waiting for them."""
CROWD = 1 / 6
"""Share of the time in which all these connections are in use: half of what the growth does not look at."""
_STREAM = " events=20 rate=100"
MIX: dict[str, tuple[float, bool, Ending]] = {
    "": (50, False, "completed"),
    _STREAM: (30, True, "completed"),
    " fault=slow": (2, False, "completed"),
    " fault=no_usage": (2, False, "completed"),
    " fault=close": (3, False, "completed"),
    " fault=server_error": (2, False, "upstream_error"),
    " fault=rate_limited": (2, False, "upstream_error"),
    " fault=cut": (2, False, "upstream_cut"),
    f"{_STREAM} fault=cut": (2, True, "upstream_cut"),
    f"{_STREAM} fault=close": (2, True, "completed"),
    f"{_STREAM} ": (3, True, "client_gone"),
}
"""How the endpoint is to answer: the share of such calls, whether they are streamed, and how they end."""


class Connection(asyncio.Protocol):
    """One connection; a call waits for its answer."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._reader = AnswerReader()
        self._ended: asyncio.Future[Ending] | None = None
        self._leaves = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    async def call(self, request: bytes, *, leaves: bool) -> Ending:
        """Return how a call ended, as the client sees it.

        Args:
            request: All bytes.
            leaves: Whether the client disconnects when the answer begins.
        """
        self._reader, self._leaves = AnswerReader(), leaves
        self._ended = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._ended

    def data_received(self, data: bytes) -> None:
        if not self._ended or self._ended.done():
            return
        self._reader.feed(data)
        if self._leaves and self._reader.head:
            self.transport.abort()
            self._ended.set_result("client_gone")
        elif self._reader.done:
            answered: dict[int, Ending] = {
                200: "completed",
                429: "upstream_error",
                500: "upstream_error",
                502: "upstream_cut",
            }
            self._ended.set_result(answered.get(self._reader.status, "unexpected"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._ended and not self._ended.done():
            self._ended.set_result("upstream_cut")


class Soak:
    """Calls at a steady rate, on as many connections as that takes."""

    def __init__(self, port: int) -> None:
        self.endings: Counter[str] = Counter()
        self.surprises: Counter[str] = Counter()
        self._port = port
        self._free: list[Connection] = []
        self._room = asyncio.Semaphore(MOST_CALLS)

    async def run(self, per_second: float, seconds: float) -> None:
        """Call until the time is over, and wait for all answers.

        A crowd comes first: as many calls at a time as there may ever be. Memory keeps the mark of its fullest
        moment, so a slow moment of the machine later on is no growth.
        """
        loop = asyncio.get_running_loop()
        kinds = [
            (how, kind[1], kind[2], _requests(how, stream=kind[1])) for how, kind in MIX.items()
        ]
        weights = [kind[0] for kind in MIX.values()]
        began_s = due_s = loop.time()
        steady_s, end_s = began_s + seconds * CROWD, began_s + seconds
        async with asyncio.TaskGroup() as tasks:
            # By the clock, not by what was due: on a machine that others use it ends in time all the same.
            while loop.time() < end_s and due_s < end_s:
                how, _, ending, following = random.choices(kinds, weights)[0]
                await self._room.acquire()
                tasks.create_task(self._call(how, ending, following()))
                if loop.time() < steady_s:
                    due_s = loop.time()
                else:
                    due_s += random.expovariate(per_second)
                await asyncio.sleep(max(0, due_s - loop.time()))
        for connection in self._free:
            connection.transport.close()

    async def _call(self, how: str, expected: Ending, request: bytes) -> None:
        while self._free:
            connection = self._free.pop()
            if not connection.transport.is_closing():
                break
        else:
            create = asyncio.get_running_loop().create_connection
            _, connection = await create(Connection, "127.0.0.1", self._port)
        ending = await connection.call(request, leaves=expected == "client_gone")
        self._room.release()
        self.endings[ending] += 1
        if ending != expected:
            self.surprises[f"{how.strip() or 'a whole answer'}: {ending}"] += 1
        if len(self._free) < IDLE:
            self._free.append(connection)
        else:
            connection.transport.close()


def _requests(how: str, *, stream: bool) -> Callable[[], bytes]:
    return requests(chat(random.randint(700, 8000), how.rstrip(), stream=stream), ids=True)


async def main(port: int, per_second: float, seconds: float) -> None:
    soak = Soak(port)
    await soak.run(per_second, seconds)
    result = {"endings": soak.endings, "surprises": soak.surprises}
    sys.stdout.buffer.write(orjson.dumps(result))


if __name__ == "__main__":
    allow_many_files()
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
