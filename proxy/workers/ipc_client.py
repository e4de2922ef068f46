"""The book of cells as a worker has it: each question goes to the process that keeps it."""

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

_LOST = "the book of cells cannot be asked; call refused"


class RemoteCellRegistry:
    """The book in another process.

    Args:
        reader: From the keeper.
        writer: To the keeper.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._last = 0
        self._lost = False

    @classmethod
    async def connect(cls, path: Path) -> "RemoteCellRegistry":
        """Return a book whose keeper listens on a unix socket."""
        return cls(*await asyncio.open_unix_connection(path))

    async def listen(self) -> None:
        """Take the keeper's answers; return when it is gone."""
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
            self._hang_up()

    def _hang_up(self) -> None:
        self._lost = True
        self._writer.close()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(Rejected(REGISTRY_LOST, _LOST))
        self._answers.clear()

    def tell(self, operation: str, *arguments: object) -> None:
        """Send a message that wants no answer."""
        if not self._lost:
            self._writer.write(packed([None, operation, arguments]))

    async def ask(self, operation: str, *arguments: object) -> Any:  # noqa: ANN401 - JSON
        """Return the keeper's answer; if the wait is cancelled, the keeper is told.

        Raises:
            Rejected: The keeper refuses, or it is gone.
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
            self.tell("cancel", number)
            raise
        finally:
            self._answers.pop(number, None)

    async def close(self) -> None:
        """Send what was said, and hang up."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def admit(self, ask: AdmissionRequest) -> Admission:
        """Return a call's number; see `Book.admit`."""
        return Admission(*await self.ask("admit", *pack_admission_request(ask)))

    def withdraw(self, cell_id: str | None, call_id: str) -> None:
        """End the wait of a call that is not admitted yet."""
        self.tell("withdraw", cell_id, call_id)

    async def finish(self, cell_id: str | None, call_id: str, end: dict[str, Any] | None) -> None:
        """Take a call out of flight; see `Book.finish`."""
        # Without a keeper nobody can ask for totals either: the answer, which is on disk, may go.
        with contextlib.suppress(Rejected):
            await self.ask("finish", cell_id, call_id, pack_end(end))

    def finish_soon(self, cell_id: str | None, call_id: str, end: dict[str, Any] | None) -> None:
        """Take a call out of flight; see `Book.finish`."""
        self.tell("finish", cell_id, call_id, pack_end(end))

    async def seal(self, cell_id: str, wait_s: float) -> CellSnapshot:
        """Close a cell; see `Book.seal`."""
        return unpack_totals(await self.ask("seal", cell_id, wait_s))

    def reopen(self, cell_id: str) -> None:
        """Undo a seal whose record could not be written."""
        self.tell("reopen", cell_id)

    async def totals(self, prefix: str = "") -> list[CellSnapshot]:
        """Return the totals of all cells whose id begins with a text, sorted by id."""
        return [unpack_totals(values) for values in await self.ask("totals", prefix)]

    async def in_flight(self) -> int:
        """Return the number of calls in flight over all cells."""
        return int(await self.ask("in_flight"))
