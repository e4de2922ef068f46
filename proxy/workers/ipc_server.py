"""The keeper's side of the book: answers the workers, and remembers what each has in flight.

When a worker dies, its calls stay in flight until its chain of the ledger has been recovered: a
seal waits for them, and their ENDs are what the recovered chain says.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cab.proxy.accounting.admission import (
    LIMIT_REACHED,
    Admission,
    AdmissionRequest,
    LocalCellRegistry,
)
from cab.proxy.errors import BadConfig, Rejected
from cab.proxy.workers.ipc_protocol import messages, pack_totals, packed, unpack_ask, unpack_end

Line = AsyncIterator[list[Any]]


@dataclass(slots=True)
class WorkerSlot:
    """A worker's place: what it has in flight, and whether it runs."""

    number: int
    calls: dict[str, str | None] = field(default_factory=dict[str, str | None])
    """Calls in flight, with their cells."""
    seals: dict[str, int | None] = field(default_factory=dict[str, int | None])
    """Cells that it closed, with the number of the message that asked for it: if it died, only the ledger knows whether their seals were written."""
    ready: asyncio.Future[str] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    """Done when it takes calls, with the address of its control API; fails if it cannot start."""
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while no line from the worker is open."""

    def __post_init__(self) -> None:
        self.gone.set()


class CellRegistryServer:
    """Answers the workers.

    Args:
        book: The book.
        seats: The workers' places, by their numbers.
        welcome: What a worker is told when it comes.
    """

    def __init__(
        self, book: LocalCellRegistry, seats: list[WorkerSlot], welcome: dict[str, Any]
    ) -> None:
        self._book = book
        self._seats = seats
        self._welcome = welcome

    @asynccontextmanager
    async def listening(self, path: Path) -> AsyncGenerator[None]:
        """Answer on a unix socket while the context is open."""
        server = await asyncio.start_unix_server(self._connected, path)
        try:
            yield
        finally:
            server.close()
            for seat in self._seats:
                await seat.gone.wait()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = messages(reader)
        try:
            async for hello in line:
                seat_number: int = hello[2][0]
                writer.write(packed([hello[0], self._welcome, None]))
                await self._serve(self._seats[seat_number], line, writer)
        finally:
            writer.close()

    async def _serve(self, seat: WorkerSlot, line: Line, writer: asyncio.StreamWriter) -> None:
        seat.gone.clear()
        try:
            async with asyncio.TaskGroup() as tasks:
                desk = _WorkerSession(self._book, seat, writer, tasks)
                async for message in line:
                    desk.take(*message)
                desk.close()
        finally:
            seat.gone.set()

    def settle(self, seat: WorkerSlot, ends: dict[str, dict[str, Any]], sealed: set[str]) -> None:
        """Take a dead worker's calls out of flight.

        Args:
            seat: The worker's place; it is empty.
            ends: END records of its recovered chain, by call.
            sealed: Cells whose seals are in that chain.
        """
        for call_id, cell_id in seat.calls.items():
            self._book.finish_soon(cell_id, call_id, ends.get(call_id))
        for cell_id in seat.seals.keys() - sealed:
            self._book.reopen(cell_id)
        seat.calls.clear()
        seat.seals.clear()


class _WorkerSession:
    """Serves one worker's line."""

    def __init__(
        self,
        book: LocalCellRegistry,
        seat: WorkerSlot,
        writer: asyncio.StreamWriter,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._book = book
        self._seat = seat
        self._writer = writer
        self._tasks = tasks
        self._waiting: dict[int | None, asyncio.Task[None]] = {}
        self._operations: dict[str, Callable[..., object]] = {
            "withdraw": book.withdraw,
            "finish": self._finish,
            "reopen": self._reopen,
            "cancel": self._cancel,
            "ready": self._seat.ready.set_result,
            "failed": self._failed,
        }

    def take(self, number: int | None, operation: str, arguments: list[Any]) -> None:
        """Do what a message asks for."""
        match operation:
            case "admit":
                self._admit(number, unpack_ask(arguments))
            case "seal":
                self._later(number, self._seal(number, *arguments))
            case "totals":
                self._later(number, self._totals(number, *arguments))
            case "in_flight":
                self._later(number, self._in_flight(number))
            case _:
                self._operations[operation](*arguments)
                self._answer(number, None)

    def close(self) -> None:
        """Drop what waits for an answer: nobody is there to hear it."""
        for task in self._waiting.values():
            task.cancel()

    def _later(self, number: int | None, work: Coroutine[Any, Any, None]) -> None:
        task = self._waiting[number] = self._tasks.create_task(work)
        task.add_done_callback(lambda _: self._waiting.pop(number))

    def _answer(self, number: int | None, result: object) -> None:
        if number is not None:
            self._writer.write(packed([number, result, None]))

    def _refuse(self, number: int | None, error: Rejected) -> None:
        self._writer.write(packed([number, None, [error.code, str(error)]]))

    def _admit(self, number: int | None, ask: AdmissionRequest) -> None:
        try:
            admission = self._book.admit_now(ask)
        except Rejected as error:
            self._rejected(number, ask, error)
            return
        if admission is None:
            self._later(number, self._admit_later(number, ask))
        else:
            self._admitted(number, ask, admission)

    async def _admit_later(self, number: int | None, ask: AdmissionRequest) -> None:
        try:
            admission = await self._book.admit_later(ask)
        except Rejected as error:
            self._rejected(number, ask, error)
        else:
            self._admitted(number, ask, admission)

    def _admitted(self, number: int | None, ask: AdmissionRequest, admission: Admission) -> None:
        self._seat.calls[ask.call_id] = ask.cell_id
        self._answer(number, list(admission))

    def _rejected(self, number: int | None, ask: AdmissionRequest, error: Rejected) -> None:
        if error.code == LIMIT_REACHED:  # in flight until its record is written
            self._seat.calls[ask.call_id] = ask.cell_id
        self._refuse(number, error)

    def _finish(self, cell_id: str | None, call_id: str, end: list[Any] | None) -> None:
        self._seat.calls.pop(call_id, None)
        self._book.finish_soon(cell_id, call_id, unpack_end(end))

    async def _seal(self, number: int | None, cell_id: str, wait_s: float) -> None:
        try:
            totals = await self._book.seal(cell_id, wait_s)
        except Rejected as error:
            self._refuse(number, error)
        else:
            self._seat.seals[cell_id] = number
            self._answer(number, pack_totals(totals))

    def _reopen(self, cell_id: str) -> None:
        del self._seat.seals[cell_id]
        self._book.reopen(cell_id)

    def _cancel(self, number: int) -> None:
        """Drop a question whose answer nobody waits for any more, or undo what it did."""
        if (task := self._waiting.get(number)) is not None:
            task.cancel()
        for cell_id in [cell for cell, asked in self._seat.seals.items() if asked == number]:
            self._reopen(cell_id)

    async def _totals(self, number: int | None, prefix: str) -> None:
        self._answer(number, [pack_totals(each) for each in await self._book.totals(prefix)])

    async def _in_flight(self, number: int | None) -> None:
        self._answer(number, await self._book.in_flight())

    def _failed(self, message: str) -> None:
        self._seat.ready.set_exception(BadConfig(message))
