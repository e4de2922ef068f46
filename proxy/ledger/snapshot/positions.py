"""Where reading a chain ended, and whether the chain still is the one that was read."""

from pathlib import Path
from typing import NamedTuple

from cab.scoring.ledger.archive.checkpoints import ArchivedChain, checkpoints
from cab.scoring.ledger.bounds import MAX_LINE_BYTES
from cab.scoring.ledger.chain import Links, line_hash
from cab.scoring.ledger.segments import Segment, open_segment


class Position(NamedTuple):
    """A line of a chain that holds; all up to its end was read."""

    segment: int
    """Number of its segment."""
    line: int
    """Its 1-based number there."""
    begin: int
    """Where it begins, in bytes of the plain segment."""
    end: int
    """Where it ends, newline included."""
    head: str
    """Its hash."""


class ChainRead(NamedTuple):
    """A chain as far as it was read."""

    first_segment: int
    """Number of the first segment that there was."""
    first_line: str
    """SHA-256 of that segment's first line without its hash: by it the chain is known again."""
    position: Position


def first_line_of(chain: list[Segment]) -> str | None:
    """Return by what a chain is known again; None while it has no line."""
    with open_segment(chain[0].path) as handle:
        line = handle.readline(MAX_LINE_BYTES)
    return line_hash(line).decode() if line.endswith(b"\n") else None


def begins_of(folder: Path) -> dict[int, ArchivedChain]:
    """Return how far the chains of a ledger are archived, by worker.

    Raises:
        BadRecord: A checkpoint cannot be read.
    """
    found: dict[int, ArchivedChain] = {}
    for each in checkpoints(folder):
        if not each.is_in_archive:
            found |= {int(chain.chain[1:]): chain for chain in each.stated.chains}
    return found


def fault_of(
    chain: list[Segment], read: ChainRead, archived: ArchivedChain | None = None
) -> str | None:
    """Return why a chain is not the one that was read; None if it is.

    Of the segment that was read last every line is hashed up to the head, so that the head stands for each
    of them. Those before it must be there; they were read, and what they hold is not read again. For archived ones
    their checkpoint stands.
    """
    numbers = {segment.number: segment for segment in chain}
    at = read.position
    until = 0 if archived is None else archived.last_segment
    if archived is not None and at.segment == until and at.head == archived.hash:
        return None
    if at.segment <= until:
        return f"segment {at.segment} was archived before it was read to its end"
    for number in range(max(read.first_segment, until + 1), at.segment + 1):
        if number not in numbers:
            return f"segment {number} is missing"
    segment = numbers[at.segment]
    if not segment.compressed and _size(segment.path) < at.end:
        return f"{segment.path.name} was cut off"
    return (
        None if _holds(segment, at) else f"{segment.path.name} has another head in line {at.line}"
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # it has been compressed just now
        return 1 << 63


def _holds(segment: Segment, position: Position) -> bool:
    links, offset = Links(), 0
    links.next_segment(gap=True)  # the head commits to what stands before
    with open_segment(segment.path) as handle:
        for _ in range(position.line):
            line = handle.readline(MAX_LINE_BYTES)
            if links.check(line) is not None:
                return False
            offset += len(line)
    return offset == position.end and links.head == position.head.encode()
