"""What the chain of a dead worker says about the calls that it had in flight."""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from cab.proxy.clock import Clock
from cab.proxy.ledger.recovery import naming_ledger, recover_chain
from cab.proxy.ledger.segments import lock_chain, segments
from cab.scoring.errors import BadRecord
from cab.scoring.ledger.records import parse_fields
from cab.scoring.ledger.segments import segment_lines


class DeadWorkerRecords(NamedTuple):
    """What a dead worker's chain says, once it has been recovered."""

    ends: dict[str, dict[str, Any]]
    sealed: set[str]


def recover_dead_worker(
    folder: Path, worker: int, clock: Clock, calls: Collection[str]
) -> DeadWorkerRecords:
    """Recover a worker's chain and return the ENDs of some calls, and the cells sealed there.

    Raises:
        BadConfig: The chain cannot be read or written.
    """
    found = DeadWorkerRecords({}, set())
    with naming_ledger(folder):
        lock = lock_chain(folder, worker)
        try:
            recover_chain(folder, worker, clock)
        finally:
            os.close(lock)
        for segment in reversed(segments(folder, worker)):
            if sum(_take(line, calls, found) for line in segment_lines(segment.path)) > 0:
                break
    return found


def _take(line: bytes, calls: Collection[str], found: DeadWorkerRecords) -> bool:
    """Take what a line says; return whether the worker began with it."""
    try:
        record = parse_fields(line)
    except BadRecord:  # the recovery has reported it
        return False
    match record:
        case {"kind": "end", "call_id": call_id} if call_id in calls:
            found.ends[call_id] = record
        case {"kind": "cell_seal", "cell_id": str(cell_id)}:
            found.sealed.add(cell_id)
        case _:
            pass
    return bool(record.get("kind") == "proxy_start")
