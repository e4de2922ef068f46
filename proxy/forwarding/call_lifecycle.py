"""A call between its START and its END: in flight in its cell, and on its way to the disk."""

import asyncio
from typing import Any

from cab.proxy.accounting.admission import AT_LIMIT, Admission, AdmissionRequest, CellRegistry
from cab.proxy.errors import Rejected
from cab.proxy.ledger.ledger import Ledger, Started


class CallLifecycle:
    """Keeps a call's state in its cell and its records in step.

    Args:
        registry: Knows its cell.
        ledger: Takes its records.
        request: What the registry is asked.
        waits: Whether records are waited for (`--ack end`).
    """

    def __init__(
        self, registry: CellRegistry, ledger: Ledger, request: AdmissionRequest, *, waits: bool
    ) -> None:
        self._registry = registry
        self._ledger = ledger
        self._request = request
        self._waits = waits
        self._waiting = True
        self._in_flight = False
        self._admitted = False
        self._start: Started | None = None
        self._end: dict[str, Any] | None = None
        self._end_written: asyncio.Future[None] | None = None

    @classmethod
    def begun(
        cls, registry: CellRegistry, ledger: Ledger, request: AdmissionRequest, started: Started
    ) -> "CallLifecycle":
        """Return the lifecycle of a call that is admitted, and whose START the ledger has taken."""
        lifecycle = cls(registry, ledger, request, waits=True)
        lifecycle._waiting = False
        lifecycle._in_flight = lifecycle._admitted = True
        lifecycle._start = started
        return lifecycle

    @property
    def ended(self) -> bool:
        """Whether the END is written, or on its way to the disk."""
        return self._end_written is not None

    async def admit(self) -> Admission:
        """Return the call's number once its cell lets it through; see `CellRegistry.admit`."""
        try:
            admission = await self._registry.admit(self._request)
        except Rejected as error:
            self._in_flight = error.code in AT_LIMIT  # until its record is written
            raise
        finally:
            self._waiting = False
        self._in_flight = self._admitted = True
        return admission

    def withdraw(self) -> None:
        """End the wait for admission, if the call waits."""
        if self._waiting:
            self._registry.withdraw(self._request.cell_id, self._request.call_id)

    def client_left(self) -> None:
        """Take note that the client has gone: no wait for admission, and a repetition is a retry."""
        self.withdraw()
        if self._admitted:
            self._registry.client_left(self._request.cell_id, self._request.call_id)

    def failing(self) -> None:
        """Take note that the client is about to see the call fail: the same request repeats it."""
        self._registry.client_left(self._request.cell_id, self._request.call_id)

    async def start(self, record: dict[str, Any], *, on_disk_first: bool = False) -> None:
        """Write the START; with `--ack end`, return when no kill can lose it any more.

        Args:
            record: The START.
            on_disk_first: Whether the call takes place only once no loss of power can lose it either: with
                `--ack end`, this returns then.
        """
        waits = self._waits and on_disk_first
        started = self._start = self._ledger.start(record, takes_place=not waits)
        if self._waits:
            await started.written
        else:
            started.written.add_done_callback(_retrieve)  # the ledger's own state says what failed

    async def start_on_disk(self) -> None:
        """With `--ack end`, return when no loss of power can lose the START either.

        Raises:
            LedgerFailed: The disk refused it after the call had begun.
        """
        if self._waits and self._start is not None:
            await asyncio.shield(self._start.on_disk)

    async def end(self, record: dict[str, Any]) -> None:
        """Write the END; with `--ack end`, return when it is on disk and in the cell's totals."""
        self._end = record
        written = self._end_written = self._ledger.append(record)
        if self._waits:
            await asyncio.shield(written)
            if self._in_flight:
                self._in_flight = False
                await self._registry.finish(self._request.cell_id, self._request.call_id, record)

    def release(self) -> None:
        """Take the call out of flight, if that has not happened: once its END is written."""
        if self._end_written is None:
            self._finish_soon()
        else:
            self._end_written.add_done_callback(self._finish_soon)

    def _finish_soon(self, written: asyncio.Future[None] | None = None) -> None:
        if written is not None:
            _retrieve(written)
        if self._in_flight:
            self._in_flight = False
            self._registry.finish_soon(self._request.cell_id, self._request.call_id, self._end)


def _retrieve(written: asyncio.Future[None]) -> None:
    """Look at a future's outcome, so that asyncio does not warn that nobody did."""
    if not written.cancelled():
        written.exception()
