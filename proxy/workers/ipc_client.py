"""The cell registry as a worker sees it: each question goes to the parent, which keeps it."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from cab.proxy.accounting.admission import REGISTRY_LOST, Admission, AdmissionRequest, CellSnapshot
from cab.proxy.errors import Rejected
from cab.proxy.workers.ipc_protocol import (
    messages,
    pack_admission_request,
    pack_end,
    packed,
    unpack_totals,
)

_LOST = "the cell registry cannot be reached; call refused"


class RemoteCellRegistry:
    """The cell registry of the parent.

    Args:
        reader: From the parent.
        writer: To the parent.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._last = 0
        self._lost = False

    @classmethod
    async def connect(cls, path: Path) -> "RemoteCellRegistry":
        """Return the registry of the parent that listens on a unix socket."""
        return cls(*await asyncio.open_unix_connection(path))

    async def listen(self) -> None:
        """Take the parent's answers; return when it is gone."""
        try:
            async for number, result, error in messages(self._reader):
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
        self._writer.close()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(Rejected(REGISTRY_LOST, _LOST))
        self._answers.clear()

    def notify(self, operation: str, *arguments: object) -> None:
        """Send a message that wants no answer."""
        if not self._lost:
            self._writer.write(packed([None, operation, arguments]))

    async def request(self, operation: str, *arguments: object) -> Any:  # noqa: ANN401 - JSON
        """Return the parent's answer; cancelling the wait withdraws the question.

        Raises:
            Rejected: The parent refuses, or it is gone.
        """
        if self._lost:
            raise Rejected(REGISTRY_LOST, _LOST)
        self._last += 1
        number = self._last
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self._writer.write(packed([number, operation, arguments]))
        try:
            return await answer
        except asyncio.CancelledError:
            self.notify("cancel", number)
            raise
        finally:
            self._answers.pop(number, None)

    async def close(self) -> None:
        """Send what is still to be sent, and disconnect."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def admit(self, ask: AdmissionRequest) -> Admission:
        """Return a call's number; see `CellRegistry.admit`."""
        return Admission(*await self.request("admit", *pack_admission_request(ask)))

    def withdraw(self, cell_id: str | None, call_id: str) -> None:
        """End the wait of a call that is not admitted yet."""
        self.notify("withdraw", cell_id, call_id)

    def client_left(self, cell_id: str | None, call_id: str) -> None:
        """Take note that the client of a call has gone; see `CellRegistry.client_left`."""
        self.notify("client_left", cell_id, call_id)

    async def finish(self, cell_id: str | None, call_id: str, end: dict[str, Any] | None) -> None:
        """Take a call out of flight; see `CellRegistry.finish`."""
        # Without the parent nobody can ask for totals either: the answer, which is on disk, may go.
        with contextlib.suppress(Rejected):
            await self.request("finish", cell_id, call_id, pack_end(end))

    def finish_soon(self, cell_id: str | None, call_id: str, end: dict[str, Any] | None) -> None:
        """Take a call out of flight; see `CellRegistry.finish`."""
        self.notify("finish", cell_id, call_id, pack_end(end))

    async def open(self, cell_id: str) -> None:
        """Make a cell known; see `CellRegistry.open`."""
        await self.request("open", cell_id)

    async def seal(self, cell_id: str, wait_s: float) -> CellSnapshot:
        """Close a cell; see `CellRegistry.seal`."""
        return unpack_totals(await self.request("seal", cell_id, wait_s))

    def reopen(self, cell_id: str) -> None:
        """Undo a seal whose record could not be written."""
        self.notify("reopen", cell_id)

    async def totals(
        self, prefix: str = "", after: str | None = None, limit: int | None = None
    ) -> list[CellSnapshot]:
        """Return the totals of cells, sorted by id; see `CellRegistry.totals`."""
        found = await self.request("totals", prefix, after, limit)
        return [unpack_totals(values) for values in found]

    async def in_flight(self) -> int:
        """Return the number of calls in flight over all cells."""
        return int(await self.request("in_flight"))
