"""Which segments may be archived: closed, compressed, old enough, and needed by no start."""

from itertools import groupby, takewhile
from pathlib import Path
from typing import NamedTuple

from cab.proxy.ledger.chain import Link, read_link
from cab.proxy.ledger.scan import OPEN_CALLS
from cab.proxy.ledger.segments import segments
from cab.scoring.ledger.bounds import MAX_LINE_BYTES
from cab.scoring.ledger.segments import Segment, open_segment
from cab.scoring.timestamps import instant_us


class ChosenChain(NamedTuple):
    """Segments of one chain that may be archived."""

    worker: int
    segments: list[Segment]
    next_at: str | None
    """When the segment behind them began."""
    next_prev: str
    """What the first line behind them follows: the hash of their last line."""
    next_open: frozenset[str]
    """Calls that were open then, by id."""


def choose(ledger: Path, older_than_us: int | None) -> list[ChosenChain]:
    """Return what may be archived of each chain.

    The segment that stays as the first one says which calls were open when it began, so that no start
    reads further back. A segment that is not compressed yet stays, with all that follow it.

    Args:
        ledger: The ledger.
        older_than_us: Only segments that were closed before this instant, in microseconds since 1970.

    Raises:
        OSError: The ledger cannot be read.
        BadRecord: The same.
        Damaged: A segment cannot be unpacked.
    """
    found: list[ChosenChain] = []
    for worker, chain in groupby(segments(ledger), lambda segment: segment.worker):
        chosen = _of_chain(worker, list(chain), older_than_us)
        if chosen is not None:
            found.append(chosen)
    return found


def _of_chain(worker: int, chain: list[Segment], older_than_us: int | None) -> ChosenChain | None:
    closed = list(takewhile(lambda segment: segment.compressed, chain[:-1]))
    for count in range(len(closed), 0, -1):
        link = _first_link(chain[count])
        if link is None or OPEN_CALLS not in link.record:
            continue
        at = link.record.get("at")
        if older_than_us is not None and not _is_before(at, older_than_us):
            continue
        calls = link.record[OPEN_CALLS]
        opened = frozenset(str(call.get("call_id")) for call in calls)
        began = at if isinstance(at, str) else None
        return ChosenChain(worker, closed[:count], began, link.prev, opened)
    return None


def _is_before(at: object, instant: int) -> bool:
    try:
        return isinstance(at, str) and instant_us(at) < instant
    except ValueError:
        return False


def _first_link(segment: Segment) -> Link | None:
    with open_segment(segment.path) as handle:
        return read_link(handle.readline(MAX_LINE_BYTES))
