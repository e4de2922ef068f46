"""The parent's side of the cell registry: answers the workers, and takes what they report.

When a worker dies, its calls stay in flight until its chain of the ledger has been recovered: a
seal waits for them, and their ENDs are what the recovered chain says.
"""

import asyncio
import os
import socket
import struct
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from cab.proxy.accounting.admission import (
    AT_LIMIT,
    Admission,
    AdmissionRequest,
    LocalCellRegistry,
)
from cab.proxy.accounting.shared_memory import SharedMemory
from cab.proxy.errors import BadConfig, Rejected
from cab.proxy.logs import RedactingLogger
from cab.proxy.system.processes import parent_of
from cab.proxy.workers.cell_sharing import CellSharing
from cab.proxy.workers.dead_worker import DeadWorkerRecords, NumbersToFind
from cab.proxy.workers.ipc_protocol import (
    MOST_UNREAD_BYTES,
    messages,
    pack_limits,
    pack_totals,
    packed,
    unpack_admission_request,
    unpack_report,
)
from cab.proxy.workers.metrics_sharing import MetricsSharing
from cab.proxy.workers.worker_slot import WorkerSlot

ANSWER_S = 5.0
METRICS_S = 2.0
"""Scrapers wait for 10 s by default; they must get what there is."""
_PEER = struct.Struct("3i")  # process, user, group

log = RedactingLogger()

Messages = AsyncIterator[list[Any]]


class CellRegistryServer:
    """Answers the workers.

    Args:
        registry: State of all cells.
        slots: The workers, by their numbers.
        configuration: What a worker that connects is to run, with its secrets: the socket is in a
            folder that only this user can enter.
        memory: What the workers share.
        answer_s: How long a worker may take to say what it knows. One that takes longer hangs; what it has
            not told counts as in flight.
        most_unread_bytes: How much may wait for a worker to read it. One that reads nothing is killed.
    """

    def __init__(  # noqa: PLR0913 - it is put together in one place
        self,
        registry: LocalCellRegistry,
        slots: list[WorkerSlot],
        configuration: object,
        memory: SharedMemory,
        answer_s: float = ANSWER_S,
        most_unread_bytes: int = MOST_UNREAD_BYTES,
    ) -> None:
        self._most_unread_bytes = most_unread_bytes
        self._registry = registry
        self._slots = slots
        self._configuration = configuration
        self._sharing = CellSharing(registry, slots, memory, answer_s)
        self.metrics = MetricsSharing(slots, time.time(), min(answer_s, METRICS_S))

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
        slot.hangs, slot.heard = False, True
        try:
            async with asyncio.TaskGroup() as tasks:
                parts = self._registry, self._sharing, self.metrics, slot, writer, tasks
                session = _WorkerSession(*parts, self._most_unread_bytes)
                async for message in incoming:
                    slot.hangs, slot.heard = False, True
                    session.take(*message)
                session.close()
        finally:
            self._sharing.gone(slot)
            self.metrics.gone(slot)
            slot.reloaded.set()
            slot.gone.set()

    def untold(self, slot: WorkerSlot) -> Mapping[str | None, NumbersToFind]:
        """Return the numbers of calls that a worker which has died may have made and not told of."""
        return self._sharing.untold(slot)

    def end_calls(self, slot: WorkerSlot, found: DeadWorkerRecords) -> None:
        """Take a dead worker's calls out of flight.

        Args:
            slot: The worker; its process has ended.
            found: What its recovered chain says.
        """
        self._sharing.end_calls(slot, found.ends, found.untold)
        for cell_id in slot.seals.keys() - found.sealed:
            self._registry.reopen(cell_id)
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

    def __init__(  # noqa: PLR0913 - it is put together in one place
        self,
        registry: LocalCellRegistry,
        sharing: CellSharing,
        metrics: MetricsSharing,
        slot: WorkerSlot,
        writer: asyncio.StreamWriter,
        tasks: asyncio.TaskGroup,
        most_unread_bytes: int,
    ) -> None:
        self._most_unread_bytes = most_unread_bytes
        self._registry = registry
        self._sharing = sharing
        self._metrics = metrics
        self._slot = slot
        self._writer = writer
        self._tasks = tasks
        self._waiting: dict[int | None, asyncio.Task[None]] = {}
        self._operations: dict[str, Callable[..., object]] = {
            "withdraw": registry.withdraw,
            "report": self._report,
            "settled": partial(sharing.answered, slot),
            "leave": self._leave,
            "give_up": partial(sharing.give_up, slot),
            "measured": partial(metrics.measured, slot),
            "reopen": self._reopen,
            "cancel": self._cancel,
            "ready": self._slot.ready.set_result,
            "failed": self._failed,
            "reloaded": self._slot.reloaded.set,
            "pong": lambda: None,
        }
        slot.tell = self._tell

    def take(self, number: int | None, operation: str, arguments: list[Any]) -> None:
        """Do what a message asks for."""
        match operation:
            case "admit":
                self._sharing.ipc_round_trips += 1
                generation, *values = arguments
                self._admit(number, unpack_admission_request(values), generation)
            case "open":
                self._later(number, self._open(number, *arguments))
            case "seal":
                self._later(number, self._seal(number, *arguments))
            case "totals":
                self._later(number, self._totals(number, *arguments))
            case "limits":
                self._later(number, self._limits(number, *arguments))
            case "load":
                self._later(number, self._load(number))
            case "metrics":
                self._later(number, self._collect(number))
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

    def _send(self, message: list[Any]) -> None:
        """Send a message; a worker that reads nothing is killed, so that what waits for it has a bound."""
        transport = self._writer.transport
        if transport.is_closing():
            return
        if transport.get_write_buffer_size() <= self._most_unread_bytes:
            self._writer.write(packed(message))
            return
        transport.abort()
        log.error("worker_reads_nothing", worker=self._slot.number)
        if self._slot.kill is not None:
            self._slot.kill()

    def _answer(self, number: int | None, result: object) -> None:
        if number is not None:
            self._send([number, result, None])

    def _reject(self, number: int | None, error: Rejected) -> None:
        self._send([number, None, [error.code, str(error), error.queued_ms, error.retry_after_s]])

    def _tell(self, operation: str, *arguments: object) -> None:
        self._send([None, operation, arguments])

    def _leave(self) -> None:
        self._sharing.left(self._slot)
        self._slot.seals.clear()  # each of them is on disk, or was undone

    def _admit(self, number: int | None, request: AdmissionRequest, generation: int) -> None:
        cell_id = request.cell_id
        self._registry.note_limits(request)  # a worker that shares a cell tells no more of them
        if self._sharing.share_for(self._slot, cell_id, generation):
            self._answer(number, None)  # it may try itself
            return
        try:
            settled = self._sharing.is_settled(cell_id)
            admission = self._registry.admit_now(request) if settled else None
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
        self._slot.begin(request.call_id, request.cell_id, admission.seq)
        self._sharing.share(self._slot, request)
        self._answer(number, list(admission))

    def _not_admitted(self, number: int | None, request: AdmissionRequest, error: Rejected) -> None:
        if error.code in AT_LIMIT:  # in flight until its record is written
            self._slot.begin(request.call_id, request.cell_id, None)
        self._reject(number, error)

    def _report(self, *reports: list[Any]) -> None:
        for report in reports:
            self._sharing.take(self._slot, unpack_report(report))

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
        try:
            found = await self._registry.totals(*which)
        except Rejected as error:
            self._reject(number, error)
        else:
            self._answer(number, [pack_totals(each) for each in found])

    async def _limits(self, number: int | None, cell_ids: list[str | None]) -> None:
        found = await self._registry.limits(cell_ids)
        self._answer(number, [pack_limits(each) for each in found])

    async def _load(self, number: int | None) -> None:
        self._answer(number, list(await self._registry.load()))

    async def _collect(self, number: int | None) -> None:
        self._answer(number, await self._metrics.collect())

    def _failed(self, message: str) -> None:
        self._slot.ready.set_exception(BadConfig(message))
