"""The cells as a worker sees them: it admits calls by shared counters, and reports what became of them."""

import time
from collections.abc import Callable
from typing import Any

from cab.proxy.accounting.admission import Admission, AdmissionRequest
from cab.proxy.accounting.cell_report import CellReport, FailedCall, LocalCall
from cab.proxy.accounting.shared_cell import CellShare, SharedCell
from cab.proxy.accounting.shared_memory import SharedMemory
from cab.proxy.accounting.windows import MINUTE_NS
from cab.scoring.ledger.totals import Fields


class WorkerCells:
    """The cells of one worker.

    Args:
        memory: Where shared counters are.
        wall_ns: Nanoseconds since the Unix epoch, the parent's clock as well.
    """

    def __init__(self, memory: SharedMemory, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._memory = memory
        self._wall_ns = wall_ns
        self._shared: dict[str | None, SharedCell] = {}
        self._calls: dict[str, LocalCall] = {}
        """Calls in flight."""
        self._reports: dict[str | None, CellReport] = {}
        self._earlier: list[tuple[str | None, CellReport]] = []
        """Reports of minutes that are over, not yet sent, in their order."""

    def share(
        self, cell_id: str | None, place: int, generation: int, share: CellShare | None
    ) -> None:
        """Go by shared counters; see `SharedCell`."""
        self._shared[cell_id] = SharedCell(self._memory, place, generation, share)

    def unshare(self, cell_id: str | None) -> None:
        """Leave all calls of a cell to the parent from now on."""
        self._shared.pop(cell_id, None)

    def unshare_all(self) -> None:
        """Leave all calls to the parent from now on."""
        self._shared.clear()

    def generation(self, cell_id: str | None) -> int:
        """Return which generation of a cell's users this worker is of; 0 if the cell is the parent's."""
        shared = self._shared.get(cell_id)
        return 0 if shared is None or shared.share is None else shared.generation

    def try_admit(self, ask: AdmissionRequest) -> Admission | None:
        """Return a call's number; None if the parent must decide, and nothing is noted."""
        cell_id, call_id, request_hash = ask.cell_id, ask.call_id, ask.request_hash
        shared = self._shared.get(cell_id)
        if shared is None:
            return None
        minute = self._minute(shared)
        number = shared.admit(ask, minute)
        if number is None:
            return None
        call = self._calls[call_id] = LocalCall(number, ask.counts, request_hash, call_id)
        self._report(cell_id, minute).begun[call_id] = call
        return Admission(None if cell_id is None else number, 1, None)

    def admitted(self, ask: AdmissionRequest, admission: Admission) -> None:
        """Take note of a call that the parent has admitted."""
        first = admission.retry_of or ask.call_id
        self._calls[ask.call_id] = LocalCall(
            None, ask.counts, ask.request_hash, first, admission.attempt, reported=True
        )

    def client_left(self, cell_id: str | None, call_id: str) -> bool:
        """Take note that the client of a call has gone; return whether the parent waits for a report."""
        call = self._calls.get(call_id)
        if call is None or not self._note_failed(cell_id, call_id, call):
            return False
        shared = self._shared.get(cell_id)
        if shared is not None:
            shared.close()
        return shared is None or shared.share is None

    def finish(self, cell_id: str | None, call_id: str, end: Fields | None) -> bool:
        """Take a call out of flight; return whether the parent waits for a report."""
        shared = self._shared.get(cell_id)
        call = self._calls.pop(call_id, None)
        minute = self._minute(shared)
        used = self._report(cell_id, minute).end(call_id, call, end)
        if end is not None and end.get("end_reason") not in ("completed", "rejected"):
            failed = call is not None and self._note_failed(cell_id, call_id, call)
            used = used._replace(is_plain=used.is_plain and not failed)
        if shared is None:
            return True
        return not shared.finish(used, minute, counts=call is not None and call.counts)

    def _note_failed(self, cell_id: str | None, call_id: str, call: LocalCall) -> bool:
        if call.failed or call.request_hash is None:
            return False
        call.failed = True
        failed = FailedCall(call.request_hash, call_id, call.first_call_id, call.attempt)
        self._report(cell_id, self._minute(self._shared.get(cell_id))).failed.append(failed)
        return True

    def _minute(self, shared: SharedCell | None) -> int | None:
        return None if shared is None else shared.minute(self._wall_ns() // MINUTE_NS)

    def report(self) -> list[list[Any]]:
        """Return what has happened since the last report, by cell, as JSON values."""
        reports = [*self._earlier, *self._reports.items()]
        self._earlier, self._reports = [], {}
        for _, report in reports:
            _note_reported(report)
        return [report.packed(cell_id) for cell_id, report in reports]

    def _report(self, cell_id: str | None, minute: int | None) -> CellReport:
        report = self._reports.get(cell_id)
        if report is not None and report.minute != minute:
            _note_reported(report)
            self._earlier.append((cell_id, report))
            report = None
        if report is None:
            report = self._reports[cell_id] = CellReport(minute)
        return report


def _note_reported(report: CellReport) -> None:
    for call in report.begun.values():
        call.reported = True
