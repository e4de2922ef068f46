"""A call between its START and its END: in flight in its cell's book, and on its way to the disk."""

import asyncio
from typing import Any

from cab.proxy.accounting.admission import LIMIT_REACHED, Admission, AdmissionRequest, CellRegistry
from cab.proxy.errors import Rejected
from cab.proxy.ledger.ledger import Ledger


class CallLifecycle:
    """Keeps a call's book and its records in step.

    Args:
        book: The book of its cell.
        ledger: Takes its records.
        ask: What the book is asked.
        waits: Whether records are waited for (`--ack end`).
    """

    def __init__(
        self, book: CellRegistry, ledger: Ledger, ask: AdmissionRequest, *, waits: bool
    ) -> None:
        self._book = book
        self._ledger = ledger
        self._ask = ask
        self._waits = waits
        self._asking = True
        self._in_flight = False
        self._end: dict[str, Any] | None = None
        self._end_written: asyncio.Future[None] | None = None

    async def admit(self) -> Admission:
        """Return the call's number once the book lets it through; see `CellRegistry.admit`."""
        try:
            admission = await self._book.admit(self._ask)
        except Rejected as error:
            self._in_flight = error.code == LIMIT_REACHED  # until its record is written
            raise
        finally:
            self._asking = False
        self._in_flight = True
        return admission

    def give_up(self) -> None:
        """End the wait for admission, if the call waits."""
        if self._asking:
            self._book.withdraw(self._ask.cell_id, self._ask.call_id)

    async def start(self, record: dict[str, Any]) -> None:
        """Write the START; with `--ack end`, return when it is on disk."""
        written = self._ledger.append(record)
        if self._waits:
            await written
        else:
            written.add_done_callback(_heard)  # the ledger's own state says what failed

    async def end(self, record: dict[str, Any]) -> None:
        """Write the END; with `--ack end`, return when it is on disk and in the cell's totals."""
        self._end = record
        written = self._end_written = self._ledger.append(record)
        if self._waits:
            await asyncio.shield(written)  # a limit that runs out now must not hide the outcome
            if self._in_flight:
                self._in_flight = False
                await self._book.finish(self._ask.cell_id, self._ask.call_id, record)

    def leave(self) -> None:
        """Take the call out of flight, if that has not happened: once its END is written."""
        if self._end_written is None:
            self._land()
        else:
            self._end_written.add_done_callback(self._land_after)

    def _land_after(self, written: asyncio.Future[None]) -> None:
        _heard(written)
        self._land()

    def _land(self) -> None:
        if self._in_flight:
            self._in_flight = False
            self._book.finish_soon(self._ask.cell_id, self._ask.call_id, self._end)


def _heard(written: asyncio.Future[None]) -> None:
    """Take note of a future's outcome, so that asyncio does not complain that nobody did."""
    if not written.cancelled():
        written.exception()
