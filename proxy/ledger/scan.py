"""What the end of a worker's chain holds: its head, calls without END, torn or damaged lines.

Reading starts where a snapshot has read up to, or else at the last segment that says which calls were
open when it began, so that a start costs one segment at most however long the ledger is. Nothing is
changed here.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from cab.proxy.ledger.chain import Link, read_link
from cab.proxy.ledger.segments import segments
from cab.scoring.files import is_list
from cab.scoring.ledger.bounds import MAX_LINE_BYTES
from cab.scoring.ledger.records import GENESIS, is_object, wrong_member
from cab.scoring.ledger.segments import Segment, open_segment, skip_bytes

OPEN_CALLS = "open_calls"
"""Member of a segment's first record: the START records that had no END when it began."""
FOLLOWS = "follows"
"""Member of a segment's first record: name and size of the segment before it."""
MAX_PROBLEMS = 20
"""Damaged lines that are described one by one; the others are only counted."""

_CARRIED = (
    "call_id", "cell_id", "seq", "started_at", "endpoint", "stream", "request_hash",
    "model_requested", "may_cost", "key_id", "upstream", "route",
    "prompt_tokens_at_most", "completion_tokens_at_most",
)  # fmt: skip
_CARRIED_IF_THERE = (
    "transport", "connection_id", "stream_id", "steered_from", "warmup", "traceparent",
)  # fmt: skip
"""Of calls on a WebSocket connection, and of those whose client said which trace they are in."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A place where a segment does not hold."""

    segment: str
    line: int
    offset: int
    what: str


class ResumePoint(NamedTuple):
    """A line of a chain up to which everything is known to hold: reading may begin there."""

    segment: int
    """Number of its segment."""
    line: int
    """Its 1-based number there."""
    offset: int
    """Where it begins, in bytes."""
    open_calls: dict[str, dict[str, Any]]
    """START records without END behind it, by call."""


@dataclass(slots=True)
class Scan:
    """The state of a chain's end."""

    head: str = GENESIS
    """Hash of the last line that holds."""
    last: Segment | None = None
    whole_bytes: int = 0
    """Where the last line of the last segment ends that has its newline."""
    size_bytes: int = 0
    """Size of the last segment."""
    sizes: dict[Path, int] = field(default_factory=dict[Path, int])
    """Each segment that was read, and its size when it is not compressed."""
    records: int = 0
    open_calls: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """START records without END, by call."""
    problems: list[Problem] = field(default_factory=list[Problem])
    damaged_lines: int = 0
    last_is_damaged: bool = False
    """Whether one of the problems is in the last segment."""
    clean_stop: bool = True
    """Whether the last record says that the proxy stopped in order, or there is none."""
    began_at: str | None = None
    """When the last segment's first record was written, as far as it says so."""

    @property
    def in_order(self) -> bool:
        """Whether there is nothing to repair; a stop that was not clean may have left nothing open."""
        return not self.open_calls and not self.damaged_lines

    def note(self, segment: Segment, line: int, offset: int, what: str) -> None:
        """Take note of a place that does not hold."""
        self.damaged_lines += 1
        self.last_is_damaged |= segment is self.last
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(segment.path.name, line, offset, what))

    def described(self) -> list[dict[str, Any]]:
        """Return the problems as JSON values."""
        return [asdict(problem) for problem in self.problems]


def carried(start: dict[str, Any]) -> dict[str, Any]:
    """Return of a START record what the END of its call repeats."""
    there = {name: start[name] for name in _CARRIED_IF_THERE if name in start}
    return {name: start.get(name) for name in _CARRIED} | there


def scan_chain(folder: Path, worker: int, resume: ResumePoint | None = None) -> Scan:
    """Return what the end of one worker's chain holds.

    Args:
        folder: The ledger.
        worker: Whose chain.
        resume: Where reading may begin.

    Raises:
        BadRecord: A segment cannot be read.
        Damaged: A compressed segment cannot be unpacked.
    """
    found = segments(folder, worker)
    scan = Scan()
    first = None if resume is None else _index_of(found, resume.segment)
    if resume is None or first is None:
        first, resume = _first_needed(found), None
    else:
        scan.open_calls = dict(resume.open_calls)
    for index in range(first, len(found)):
        if index > 0:
            _check_end(scan, found[index - 1], found[index])
        _scan_segment(scan, found[index], resume, last=index == len(found) - 1)
        resume = None
    return scan


def _index_of(found: list[Segment], number: int) -> int | None:
    return next((i for i, segment in enumerate(found) if segment.number == number), None)


def _first_needed(found: list[Segment]) -> int:
    """Return the index of the last segment that says which calls were open when it began."""
    for index in range(len(found) - 1, 0, -1):
        link = _first_link(found[index])
        if link is not None and OPEN_CALLS in link.record:
            return index
    return 0


def _first_link(segment: Segment) -> Link | None:
    with open_segment(segment.path) as handle:
        return read_link(handle.readline(MAX_LINE_BYTES))


def stated_size(after: Segment) -> int | None:
    """Return how large the segment before another one was when it was closed; None if that is not said.

    Raises:
        BadRecord: The segment cannot be read.
        Damaged: It cannot be unpacked.
    """
    size = (_follows(after) or {}).get("size_bytes")
    return size if isinstance(size, int) else None


def _follows(after: Segment) -> dict[str, Any] | None:
    link = _first_link(after)
    follows = link.record.get(FOLLOWS) if link else None
    return follows if is_object(follows) else None


def _check_end(scan: Scan, before: Segment, after: Segment) -> None:
    """Compare a closed segment's size with what the one after it says of it."""
    follows = _follows(after)
    if before.compressed or follows is None:
        return
    size, stated = before.path.stat().st_size, follows.get("size_bytes")
    if size != stated:
        scan.note(before, 0, size, f"has {size} bytes, and had {stated} when it was closed")


def _scan_segment(scan: Scan, segment: Segment, resume: ResumePoint | None, *, last: bool) -> None:
    scan.last, scan.whole_bytes, scan.began_at = segment, 0, None
    scan.last_is_damaged = False
    number = offset = 0
    with open_segment(segment.path) as handle:
        if resume is not None and resume.line > 1:
            line = handle.readline(MAX_LINE_BYTES)
            link = read_link(line)
            scan.began_at = _instant(link.record) if link else None
            number, offset = resume.line - 1, resume.offset
            skip_bytes(handle, offset - len(line))
        while line := handle.readline(MAX_LINE_BYTES):
            number += 1
            _scan_line(scan, segment, number, offset, line)
            offset += len(line)
            if line.endswith(b"\n"):
                scan.whole_bytes = offset
    scan.size_bytes = scan.sizes[segment.path] = offset
    if scan.whole_bytes < offset and (scan.last_is_damaged or not last):
        scan.note(segment, number, scan.whole_bytes, "the last line is cut off")


def _scan_line(scan: Scan, segment: Segment, number: int, offset: int, line: bytes) -> None:
    link = read_link(line)
    if link is None:
        if line.endswith(b"\n"):  # else it is torn, or a piece of what is too long for a line
            scan.note(segment, number, offset, "not a record, or not the one that was written")
        return
    if scan.records and link.prev != scan.head:
        scan.note(segment, number, offset, "does not follow the record before it")
    if number == 1:
        scan.began_at = _instant(link.record)
        for start in _open_calls(link.record):
            _follow(scan, {**start, "kind": "start"})
    # Its chain holds, so the head moves on even where nobody can say which call it is of.
    scan.head = link.hash
    scan.records += 1
    wrong = wrong_member(link.record)
    if wrong is not None:
        scan.note(segment, number, offset, f"{wrong.name}: {wrong.reason}")
        return
    _follow(scan, link.record)


def _open_calls(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the START records that a segment's first record carries, without damaged ones."""
    carried = record.get(OPEN_CALLS)
    starts = carried if is_list(carried) else []
    return [start for start in starts if is_object(start) and wrong_member(start) is None]


def _follow(scan: Scan, record: dict[str, Any]) -> None:
    """Keep up with which calls are open and whether the proxy stopped in order."""
    kind, call_id = record.get("kind"), record.get("call_id")
    scan.clean_stop = kind == "proxy_stop"
    if not isinstance(call_id, str):
        return
    if kind == "start":
        scan.open_calls[call_id] = carried(record)
    elif kind == "end":
        scan.open_calls.pop(call_id, None)


def _instant(record: dict[str, Any]) -> str | None:
    at = record.get("at") or record.get("started_at")
    return at if isinstance(at, str) else None
