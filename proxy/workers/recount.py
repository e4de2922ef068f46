"""Counts again what a worker that was killed has recorded: nobody heard what it had counted last."""

import time
from collections.abc import Callable
from pathlib import Path

from cab.proxy.control.metrics.calls import CallMetrics
from cab.proxy.control.metrics.labels import ModelLabels
from cab.proxy.control.metrics.samples import Samples
from cab.proxy.ledger.segments import segments
from cab.scoring.errors import BadRecord
from cab.scoring.ledger.records import parse_fields
from cab.scoring.ledger.segments import Segment, segment_lines

_START, _END = b'"kind":"proxy_start"', b'"kind":"end"'
_PAUSE_LINES = 256
_PAUSE_S = 0.0005


def recounted(
    folder: Path, worker: int, pid: int, models: ModelLabels, stopped: Callable[[], bool]
) -> Samples | None:
    """Return what the calls of a process come to that wrote a worker's chain; None if that cannot be told.

    Args:
        folder: The ledger.
        worker: Number of the chain.
        pid: The process.
        models: Gives the labels of models.
        stopped: Whether nobody waits for it any more.

    Raises:
        BadRecord: A segment cannot be read.
        OSError: The same.
    """
    chain = segments(folder, worker)
    first = next((at for at in reversed(range(len(chain))) if _holds_start(chain[at], pid)), None)
    calls, is_own = CallMetrics(models), False
    for segment in () if first is None else chain[first:]:
        for number, line in enumerate(segment_lines(segment.path)):
            if stopped():
                return None
            if number % _PAUSE_LINES == 0:
                time.sleep(_PAUSE_S)  # admission of calls goes first
            if _START in line:
                is_own = _is_start(line, pid)  # behind that of its successor nothing is its own
                calls = CallMetrics(models) if is_own else calls
            elif is_own and _END in line:
                _add(calls, line)
    return None if first is None else calls.samples()


def _holds_start(segment: Segment, pid: int) -> bool:
    return any(_START in line and _is_start(line, pid) for line in segment_lines(segment.path))


def _is_start(line: bytes, pid: int) -> bool:
    try:
        fields = parse_fields(line)
    except BadRecord:
        return False
    return fields.get("kind") == "proxy_start" and fields.get("pid") == pid


def _add(calls: CallMetrics, line: bytes) -> None:
    try:
        fields = parse_fields(line)
    except BadRecord:  # the recovery has reported it
        return
    if fields.get("kind") == "end":
        calls.add(fields)
