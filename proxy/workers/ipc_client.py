"""The cell registry as a worker sees it: the parent keeps it, and shares the cells that are called with its workers.

Most calls are admitted here, and end here, without a word; what they came to is reported soon after. The
rest, as the first call of a cell and those near a limit, asks the parent.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cab.proxy.accounting.admission import (
    REGISTRY_LOST,
    Admission,
    AdmissionRequest,
    CellLimits,
    CellSnapshot,
    RegistryLoad,
)
from cab.proxy.accounting.limits import OnUnknown
from cab.proxy.accounting.shared_cell import CellShare
from cab.proxy.accounting.shared_memory import SharedMemory
from cab.proxy.accounting.worker_cells import WorkerCells
from cab.proxy.control.metrics.process import CollectMetrics
from cab.proxy.control.metrics.samples import Samples, unpacked
from cab.proxy.control.metrics.samples import packed as packed_samples
from cab.proxy.errors import Rejected
from cab.proxy.workers.ipc_protocol import (
    MOST_UNREAD_BYTES,
    messages,
    pack_admission_request,
    packed,
    unpack_limits,
    unpack_totals,
)

_SILENT = "the cell registry does not answer; call refused"
_LOST = "the cell registry cannot be reached; call refused"
_ANSWER_S = 20.0
_REPORT_S = 0.05
"""How long a report may wait for what is still to come, where nobody waits for it."""


class RemoteCellRegistry:
    """The cell registry of the parent.

    Args:
        reader: From the parent.
        writer: To the parent.
        memory: What it shares with its workers.
        answer_s: How long it may take to answer, besides what it is asked to wait.
        wall_ns: Nanoseconds since the Unix epoch, the parent's clock as well.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        memory: SharedMemory,
        answer_s: float = _ANSWER_S,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._slot_wait_s = 0.0
        self.reloads: asyncio.Queue[tuple[dict[str, Any], Any]] = asyncio.Queue()
        """Settings and secrets that the parent wants to be taken over, in order."""
        self._answer_s = answer_s
        self._reader = reader
        self._writer = writer
        self._cells = WorkerCells(memory, wall_ns)
        self._later: asyncio.TimerHandle | None = None
        self._now: asyncio.Handle | None = None
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._last = 0
        self._lost = False
        self._samples: Callable[[], Samples] = dict

    @classmethod
    async def connect(
        cls,
        path: Path,
        memory: SharedMemory,
        answer_s: float = _ANSWER_S,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> "RemoteCellRegistry":
        """Return the registry of the parent that listens on a unix socket; arguments as for the class."""
        return cls(*await asyncio.open_unix_connection(path), memory, answer_s, wall_ns)

    def set_rules(
        self,
        slot_wait_s: float,
        on_unknown: OnUnknown,  # noqa: ARG002 - the parent's
        trusted_prices: str = "",  # noqa: ARG002 - the parent's
    ) -> None:
        """Take over settings: how long the parent lets a call wait for others."""
        self._slot_wait_s = slot_wait_s

    async def listen(self) -> None:
        """Take the parent's answers; return when it is gone."""
        try:
            async for number, result, error in messages(self._reader):
                if number is None:
                    self._told(result, error)
                    continue
                answer = self._answers.pop(number, None)
                if answer is None or answer.done():
                    continue
                if error is None:
                    answer.set_result(result)
                else:
                    answer.set_exception(Rejected(*error))
        finally:
            self._disconnect()

    def _disconnect(self) -> None:
        self._lost = True
        self._cells.unshare_all()
        self._writer.close()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(Rejected(REGISTRY_LOST, _LOST))
        self._answers.clear()

    def notify(self, operation: str, *arguments: object) -> None:
        """Send a message that wants no answer."""
        if not self._lost:
            self._send([None, operation, arguments])

    def _send(self, message: list[Any]) -> None:
        transport = self._writer.transport
        if transport.get_write_buffer_size() <= MOST_UNREAD_BYTES:
            self._writer.write(packed(message))
        elif not transport.is_closing():
            transport.abort()  # a parent that reads nothing is as one that is gone

    async def request(self, operation: str, *arguments: object, wait_s: float = 0.0) -> Any:  # noqa: ANN401 - JSON
        """Return the parent's answer; cancelling the wait withdraws the question.

        Args:
            operation: What is asked.
            arguments: Its arguments.
            wait_s: How long the parent is asked to wait before it answers.

        Raises:
            Rejected: The parent refuses, it is gone, or it does not answer.
        """
        if self._lost:
            raise Rejected(REGISTRY_LOST, _LOST)
        self._last += 1
        number = self._last
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self._send([number, operation, arguments])
        try:
            async with asyncio.timeout(wait_s + self._answer_s):
                return await answer
        except TimeoutError:
            self.notify("cancel", number)
            raise Rejected(REGISTRY_LOST, _SILENT) from None
        except asyncio.CancelledError:
            self.notify("cancel", number)
            raise
        finally:
            self._answers.pop(number, None)

    def offer(self, samples: Callable[[], Samples]) -> CollectMetrics:
        """Take what gives this worker's metrics; return what collects those of all workers."""
        self._samples = samples
        return self._collect

    async def _collect(self) -> Samples:
        return unpacked(await self.request("metrics"))

    async def close(self) -> None:
        """Send what is still to be sent, and disconnect."""
        self._cells.unshare_all()
        self._send_report()
        self.notify("measured", packed_samples(self._samples()), True)
        self.notify("leave")
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    def _told(self, operation: str, arguments: list[Any]) -> None:
        """Do what the parent says."""
        match operation, arguments:
            case "settle", [number, place, generation, cells]:
                for cell_id in cells:
                    if place < 0:
                        self._cells.unshare(cell_id)
                    else:
                        self._cells.share(cell_id, place, generation, None)
                self._send_report()
                self.notify("settled", number, cells)
            case "share", [cell_id, place, generation, share]:
                self._cells.share(cell_id, place, generation, CellShare.unpacked(share))
            case "measure", _:
                self.notify("measured", packed_samples(self._samples()))
            case "ping", []:
                self.notify("pong")
            case "reload", [settings, secrets]:
                self.reloads.put_nowait((settings, secrets))
            case _:  # unshare
                self._cells.unshare(arguments[0])

    def _report_soon(self, *, waited_for: bool) -> None:
        loop = asyncio.get_running_loop()
        if waited_for:
            self._now = self._now or loop.call_soon(self._send_report)
        else:
            self._later = self._later or loop.call_later(_REPORT_S, self._send_report)

    def _send_report(self) -> None:
        for handle in (self._now, self._later):
            if handle is not None:
                handle.cancel()
        self._now = self._later = None
        if reports := self._cells.report():
            self.notify("report", *reports)

    def try_admit(self, ask: AdmissionRequest) -> Admission | None:
        """Return a call's number; see `CellRegistry.try_admit`."""
        admission = None if self._lost else self._cells.try_admit(ask)
        if admission is not None and self._later is None:
            self._report_soon(waited_for=False)
        return admission

    async def admit(self, ask: AdmissionRequest) -> Admission:
        """Return a call's number; see `CellRegistry.admit`."""
        while (admission := self.try_admit(ask)) is None:
            self._send_report()
            generation = self._cells.generation(ask.cell_id)
            packed_ask = pack_admission_request(ask)
            try:
                answer = await self.request(
                    "admit", generation, *packed_ask, wait_s=self._slot_wait_s
                )
            except BaseException as error:
                # Its answer may be on its way: then the call is in flight there, and not here.
                if not isinstance(error, Rejected) or error.code == REGISTRY_LOST:
                    self.notify("give_up", ask.cell_id, ask.call_id)
                raise
            if answer is not None:
                admission = Admission(*answer)
                self._cells.admitted(ask, admission)
                break
        return admission

    def withdraw(self, cell_id: str | None, call_id: str) -> None:
        """End the wait of a call that is not admitted yet."""
        self.notify("withdraw", cell_id, call_id)

    def client_left(self, cell_id: str | None, call_id: str) -> None:
        """Take note that the client of a call has gone; see `CellRegistry.client_left`."""
        self._report_soon(waited_for=self._cells.client_left(cell_id, call_id))

    async def finish(self, cell_id: str | None, call_id: str, end: dict[str, Any] | None) -> None:
        """Take a call out of flight; see `CellRegistry.finish`."""
        self.finish_soon(cell_id, call_id, end)

    def finish_soon(self, cell_id: str | None, call_id: str, end: dict[str, Any] | None) -> None:
        """Take a call out of flight; see `CellRegistry.finish`."""
        self._report_soon(waited_for=self._cells.finish(cell_id, call_id, end))

    async def open(self, cell_id: str) -> None:
        """Make a cell known; see `CellRegistry.open`."""
        await self.request("open", cell_id)

    async def seal(self, cell_id: str, wait_s: float) -> CellSnapshot:
        """Close a cell; see `CellRegistry.seal`."""
        return unpack_totals(await self.request("seal", cell_id, wait_s, wait_s=wait_s))

    def reopen(self, cell_id: str) -> None:
        """Undo a seal whose record could not be written."""
        self.notify("reopen", cell_id)

    async def totals(
        self, prefix: str = "", after: str | None = None, limit: int | None = None
    ) -> list[CellSnapshot]:
        """Return the totals of cells, sorted by id; see `CellRegistry.totals`."""
        found = await self.request("totals", prefix, after, limit)
        return [unpack_totals(values) for values in found]

    async def limits(self, cell_ids: list[str | None]) -> list[CellLimits | None]:
        """Return what cells may spend; see `CellRegistry.limits`."""
        return [unpack_limits(values) for values in await self.request("limits", cell_ids)]

    async def load(self) -> RegistryLoad:
        """Return what goes on over all cells; see `CellRegistry.load`."""
        return RegistryLoad(*await self.request("load"))
