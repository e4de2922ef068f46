"""What the chain of a dead worker says about the calls that it had in flight."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cab.proxy.clock import Clock
from cab.proxy.ledger.recovery import naming_ledger, recover_chain
from cab.proxy.ledger.segments import lock_chain, segments
from cab.scoring.errors import BadRecord
from cab.scoring.ledger.records import parse_fields
from cab.scoring.ledger.segments import segment_lines


class NumbersToFind(Protocol):
    """Numbers of the calls of a cell."""

    def holds(self, number: int) -> bool:
        """Return whether a number is one of them."""
        ...


@dataclass(slots=True)
class DeadWorkerRecords:
    """What a dead worker's chain says, once it has been recovered."""

    ends: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """ENDs of the calls that were asked for, by call."""
    sealed: set[str] = field(default_factory=set[str])
    untold: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """ENDs of the numbers that were asked for, of calls that were not."""


def recover_dead_worker(
    folder: Path,
    worker: int,
    clock: Clock,
    calls: Collection[str],
    numbers: Mapping[str | None, NumbersToFind] | None = None,
) -> DeadWorkerRecords:
    """Recover a worker's chain, and return the ENDs of some calls, and the cells sealed there.

    Args:
        folder: The ledger.
        worker: The worker.
        clock: Stamps what the recovery records.
        calls: The calls.
        numbers: More calls, by their numbers in their cells.

    Raises:
        BadConfig: The chain cannot be read or written.
    """
    found, wanted = DeadWorkerRecords(), _Wanted(calls, numbers or {})
    with naming_ledger(folder):
        lock = lock_chain(folder, worker)
        try:
            recover_chain(folder, worker, clock)
        finally:
            os.close(lock)
        for segment in reversed(segments(folder, worker)):
            if sum(_take(line, wanted, found) for line in segment_lines(segment.path)) > 0:
                break
    return found


@dataclass(frozen=True, slots=True)
class _Wanted:
    calls: Collection[str]
    numbers: Mapping[str | None, NumbersToFind]

    def holds(self, cell_id: object, number: object) -> bool:
        cell = self.numbers.get(cell_id) if isinstance(cell_id, str) else None
        return cell is not None and isinstance(number, int) and cell.holds(number)


def _take(line: bytes, wanted: _Wanted, found: DeadWorkerRecords) -> bool:
    """Take what a line says; return whether the worker began with it."""
    try:
        record = parse_fields(line)
    except BadRecord:  # the recovery has reported it
        return False
    match record:
        case {"kind": "end", "call_id": call_id} if call_id in wanted.calls:
            found.ends[call_id] = record
        case {"kind": "end", "call_id": str(), "cell_id": cell_id, "seq": number} if wanted.holds(
            cell_id, number
        ):
            found.untold.append(record)
        case {"kind": "cell_seal", "cell_id": str(cell_id)}:
            found.sealed.add(cell_id)
        case _:
            pass
    return bool(record.get("kind") == "proxy_start")
