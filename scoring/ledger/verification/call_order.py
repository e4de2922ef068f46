"""Whether the calls of a ledger start once and end once, as far as its lines tell."""

from pathlib import Path
from typing import Any

from cab.scoring.files import is_list
from cab.scoring.ledger.records import is_object
from cab.scoring.ledger.verification.call_ids import CallIds
from cab.scoring.ledger.verification.findings import Findings


class CallOrder:
    """Follows the calls of one chain, whose worker writes the START and the END of each.

    Args:
        started: The calls of the chains before; those of this one are added.
    """

    def __init__(self, started: CallIds) -> None:
        self._started = started
        self._open: dict[str, tuple[Path, int]] = {}
        self._lost = 0
        self._repeated = Findings()
        self._unpaired = Findings()

    def add(self, path: Path, number: int, fields: dict[str, Any]) -> None:
        """Look at the next record; `number` is 1 for the first one of a segment."""
        if number == 1:
            self._carry(path, fields.get("open_calls"))
        kind, call_id = fields.get("kind"), fields.get("call_id")
        if kind not in ("start", "end"):
            lost = fields.get("lost_records")
            self._lost += lost if type(lost) is int else 0
        elif call_id is None:
            self._unpaired.add(path, number, f"the {kind} of no call: it has no call_id")
        elif kind == "start":
            self._open[call_id] = path, number
            self._note(path, number, call_id)
        elif self._open.pop(call_id, None) is not None:
            return
        elif fields.get("end_reason") == "rejected":
            self._note(path, number, call_id)
        else:
            what = "and is not open: its START is missing, or it ended before"
            self._unpaired.add(path, number, f"call {call_id} ends, {what}")

    def _note(self, path: Path, number: int, call_id: str) -> None:
        if not self._started.add(call_id):
            self._repeated.add(path, number, f"call {call_id} is in the ledger a second time")

    def begin(self, path: Path, open_calls: object) -> None:
        """Begin behind archived segments, with the calls that the first record says were open then."""
        for start in open_calls if is_list(open_calls) else []:
            if is_object(start) and isinstance(call_id := start.get("call_id"), str):
                self._open[call_id] = path, 1

    def _carry(self, path: Path, open_calls: object) -> None:
        """Take note of what a segment says of the calls that were open when it began."""
        for start in open_calls if is_list(open_calls) else []:
            call_id = start.get("call_id") if is_object(start) else None
            if isinstance(call_id, str) and call_id in self._open:
                self._open[call_id] = path, 1

    def finish(self, last: Path, findings: Findings, *, chain_holds: bool) -> None:
        """Add what was found once the chain is read.

        Args:
            last: Its last segment; what is open there may still end.
            findings: Takes the faults.
            chain_holds: Whether no line of it is missing or damaged.
        """
        for call_id, (path, number) in self._open.items():
            if path != last:
                what = "is open here, and neither ends nor stays open in a later segment"
                self._unpaired.add(path, number, f"call {call_id} {what}")
        findings.extend(self._repeated)
        # A proxy that went on while its disk failed says how many records no disk has.
        if chain_holds and self._unpaired.fault_count > self._lost:
            findings.extend(self._unpaired)
