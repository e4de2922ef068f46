"""The parent's side of the cell registry: answers the workers, and knows what each has in flight.

When a worker dies, its calls stay in flight until its chain of the ledger has been recovered: a
seal waits for them, and their ENDs are what the recovered chain says.
"""

import asyncio
import os
import socket
import struct
import sys
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
from cab.proxy.auth.held_secrets import parent_of
from cab.proxy.errors import BadConfig, Rejected
from cab.proxy.workers.ipc_protocol import (
    messages,
    pack_totals,
    packed,
    unpack_admission_request,
    unpack_end,
)

_PEER = struct.Struct("3i")  # process, user, group

Messages = AsyncIterator[list[Any]]


@dataclass(slots=True)
class WorkerSlot:
    """One of the workers: what it has in flight, and whether it runs."""

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
    """Set while no connection from the worker is open."""

    def __post_init__(self) -> None:
        self.gone.set()


class CellRegistryServer:
    """Answers the workers.

    Args:
        registry: State of all cells.
        slots: The workers, by their numbers.
        configuration: What a worker that connects is to run, with its secrets: the socket is in a
            folder that only this user can enter.
    """

    def __init__(
        self, registry: LocalCellRegistry, slots: list[WorkerSlot], configuration: object
    ) -> None:
        self._registry = registry
        self._slots = slots
        self._configuration = configuration

    @asynccontextmanager
    async def listening(self, path: Path) -> AsyncGenerator[None]:
        """Answer on a unix socket while the context is open."""
        server = await asyncio.start_unix_server(self._connected, path)
        try:
            yield
        finally:
            server.close()
            for slot in self._slots:
                await slot.gone.wait()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming = messages(reader)
        try:
            if not _is_ours(writer.get_extra_info("socket")):
                return
            # The first message asks for the configuration and names the worker.
            async for number, _, arguments in incoming:
                slot_number: int = arguments[0]
                writer.write(packed([number, self._configuration, None]))
                await self._serve(self._slots[slot_number], incoming, writer)
        finally:
            writer.close()

    async def _serve(
        self, slot: WorkerSlot, incoming: Messages, writer: asyncio.StreamWriter
    ) -> None:
        slot.gone.clear()
        try:
            async with asyncio.TaskGroup() as tasks:
                session = _WorkerSession(self._registry, slot, writer, tasks)
                async for message in incoming:
                    session.take(*message)
                session.close()
        finally:
            slot.gone.set()

    def end_calls(
        self, slot: WorkerSlot, ends: dict[str, dict[str, Any]], sealed: set[str]
    ) -> None:
        """Take a dead worker's calls out of flight.

        Args:
            slot: The worker; its process has ended.
            ends: END records of its recovered chain, by call.
            sealed: Cells whose seals are in that chain.
        """
        for call_id, cell_id in slot.calls.items():
            self._registry.finish_soon(cell_id, call_id, ends.get(call_id))
        for cell_id in slot.seals.keys() - sealed:
            self._registry.reopen(cell_id)
        slot.calls.clear()
        slot.seals.clear()


def _is_ours(connection: socket.socket) -> bool:
    """Tell whether this process or a child of it has connected: an agent may run as the same user."""
    if sys.platform != "linux":
        return True
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    pid = int(_PEER.unpack(packed)[0])
    return os.getpid() in (pid, parent_of(pid))


class _WorkerSession:
    """Serves one worker's connection."""

    def __init__(
        self,
        registry: LocalCellRegistry,
        slot: WorkerSlot,
        writer: asyncio.StreamWriter,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._registry = registry
        self._slot = slot
        self._writer = writer
        self._tasks = tasks
        self._waiting: dict[int | None, asyncio.Task[None]] = {}
        self._operations: dict[str, Callable[..., object]] = {
            "withdraw": registry.withdraw,
            "client_left": registry.client_left,
            "finish": self._finish,
            "reopen": self._reopen,
            "cancel": self._cancel,
            "ready": self._slot.ready.set_result,
            "failed": self._failed,
        }

    def take(self, number: int | None, operation: str, arguments: list[Any]) -> None:
        """Do what a message asks for."""
        match operation:
            case "admit":
                self._admit(number, unpack_admission_request(arguments))
            case "open":
                self._later(number, self._open(number, *arguments))
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
        """Drop what waits for an answer: nobody is there to take it."""
        for task in self._waiting.values():
            task.cancel()

    def _later(self, number: int | None, work: Coroutine[Any, Any, None]) -> None:
        task = self._waiting[number] = self._tasks.create_task(work)
        task.add_done_callback(lambda _: self._waiting.pop(number))

    def _answer(self, number: int | None, result: object) -> None:
        if number is not None:
            self._writer.write(packed([number, result, None]))

    def _reject(self, number: int | None, error: Rejected) -> None:
        self._writer.write(packed([number, None, [error.code, str(error), error.queued_ms]]))

    def _admit(self, number: int | None, request: AdmissionRequest) -> None:
        try:
            admission = self._registry.admit_now(request)
        except Rejected as error:
            self._not_admitted(number, request, error)
            return
        if admission is None:
            self._later(number, self._admit_later(number, request))
        else:
            self._admitted(number, request, admission)

    async def _admit_later(self, number: int | None, request: AdmissionRequest) -> None:
        try:
            admission = await self._registry.admit_later(request)
        except Rejected as error:
            self._not_admitted(number, request, error)
        else:
            self._admitted(number, request, admission)

    def _admitted(
        self, number: int | None, request: AdmissionRequest, admission: Admission
    ) -> None:
        self._slot.calls[request.call_id] = request.cell_id
        self._answer(number, list(admission))

    def _not_admitted(self, number: int | None, request: AdmissionRequest, error: Rejected) -> None:
        if error.code == LIMIT_REACHED:  # in flight until its record is written
            self._slot.calls[request.call_id] = request.cell_id
        self._reject(number, error)

    def _finish(self, cell_id: str | None, call_id: str, end: list[Any] | None) -> None:
        self._slot.calls.pop(call_id, None)
        self._registry.finish_soon(cell_id, call_id, unpack_end(end))

    async def _open(self, number: int | None, cell_id: str) -> None:
        try:
            await self._registry.open(cell_id)
        except Rejected as error:
            self._reject(number, error)
        else:
            self._answer(number, None)

    async def _seal(self, number: int | None, cell_id: str, wait_s: float) -> None:
        try:
            totals = await self._registry.seal(cell_id, wait_s)
        except Rejected as error:
            self._reject(number, error)
        else:
            self._slot.seals[cell_id] = number
            self._answer(number, pack_totals(totals))

    def _reopen(self, cell_id: str) -> None:
        del self._slot.seals[cell_id]
        self._registry.reopen(cell_id)

    def _cancel(self, number: int) -> None:
        """Drop a question whose answer nobody waits for any more, or undo what it did."""
        if (task := self._waiting.get(number)) is not None:
            task.cancel()
        for cell_id in [cell for cell, by in self._slot.seals.items() if by == number]:
            self._reopen(cell_id)

    async def _totals(self, number: int | None, *which: Any) -> None:  # noqa: ANN401 - as `totals` takes it
        found = await self._registry.totals(*which)
        self._answer(number, [pack_totals(each) for each in found])

    async def _in_flight(self, number: int | None) -> None:
        self._answer(number, await self._registry.in_flight())

    def _failed(self, message: str) -> None:
        self._slot.ready.set_exception(BadConfig(message))
