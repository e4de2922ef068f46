"""The lines of a ledger's chains that a lake does not have yet."""

import hashlib
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from cab.adapters.errors import AdapterError
from cab.scoring.ledger.archive.checkpoints import checkpoints
from cab.scoring.ledger.bounds import BrokenLine
from cab.scoring.ledger.records import GENESIS
from cab.scoring.ledger.segments import Segment, find_segments, segment_lines

_TAIL = re.compile(rb',"prev":"([0-9a-f]{64})","hash":"([0-9a-f]{64})"\}\n')
_TAIL_BYTES = 74 + 75 + 1


class ChainPosition(NamedTuple):
    """How far a chain was read."""

    segment: int
    """Number of the segment."""
    line: int
    """1-based number of the last line that was read of it."""
    last_sha256: str
    """SHA-256 of that line, as it was read."""
    hash: str | None
    """What the line says its hash is; None if it is damaged."""


class ChainLine(NamedTuple):
    """One line that is new."""

    path: Path
    """The file."""
    line: bytes
    position: ChainPosition
    """How far the chain is read with it."""


class LedgerChain:
    """One chain of a ledger.

    Args:
        name: Such as `w0`.
        segments: Its segments that are there, by number.
        first_hash: `hash` of the first line that it ever had, which names the chain wherever it is copied
            to; None if it has no line yet.
    """

    def __init__(self, name: str, segments: list[Segment], first_hash: str | None) -> None:
        self.name = name
        self.first_hash = first_hash
        self._segments = segments

    def lines_after(self, read: ChainPosition | None) -> Iterator[ChainLine]:
        """Yield the lines behind a position, or all; a last one that is not finished yet is left out.

        Raises:
            AdapterError: What is there does not continue what was read.
            BadRecord: A segment cannot be read.
        """
        begin = 1 if read is None else read.segment
        hash_before = GENESIS if read is None else read.hash
        segments = [segment for segment in self._segments if segment.number >= begin]
        is_first = True
        for segment in segments:
            for line in self._lines_of(segment, read):
                if is_first:
                    self._check_follows(line, hash_before)
                    is_first = False
                yield line
        if read is not None and not segments and self._segments:
            raise self._gap(f"segment {read.segment}, which was read last, is not in it")

    def _lines_of(self, segment: Segment, read: ChainPosition | None) -> Iterator[ChainLine]:
        skip = read.line if read is not None and read.segment == segment.number else 0
        number = 0
        for number, line in enumerate(segment_lines(segment.path), 1):
            if not line.endswith(b"\n") and not isinstance(line, BrokenLine):
                return  # its writer has not finished it
            if number == skip and read is not None and read.last_sha256 != _sha256(line):
                raise self._gap(f"line {number} of segment {segment.number} is another one")
            if number > skip:
                _, own = prev_and_hash(line)
                place = ChainPosition(segment.number, number, _sha256(line), own)
                yield ChainLine(segment.path, line, place)
        if number < skip:
            raise self._gap(f"segment {segment.number} is shorter")

    def _check_follows(self, line: ChainLine, hash_before: str | None) -> None:
        prev, _ = prev_and_hash(line.line)
        if None not in (prev, hash_before) and prev != hash_before:
            raise self._gap(f"lines before segment {line.position.segment} are not there")

    def _gap(self, what: str) -> AdapterError:
        return AdapterError(
            f"chain {self.name} does not continue what is in the lake: {what}. If they are archived, export "
            "the archive's folder to the lake first; if the ledger was replaced by an older copy, export to a "
            "new folder"
        )


def ledger_chains(folder: Path) -> list[LedgerChain]:
    """Return the chains of a ledger, or of the folder of an archive, by the number of their workers.

    Raises:
        BadRecord: The folder, or a file in it, cannot be read.
    """
    archived = {
        chain.chain: chain.first_hash
        for each in checkpoints(folder)
        for chain in each.stated.chains
    }
    chains: list[LedgerChain] = []
    for name, group in groupby(find_segments(folder), key=lambda segment: segment.chain):
        segments = list(group)
        first = archived.get(name) or _first_hash(segments[0])
        chains.append(LedgerChain(name, segments, first))
    return chains


def prev_and_hash(line: bytes) -> tuple[str | None, str | None]:
    """Return what a line says of the line before and of itself; None twice of a damaged one."""
    match = None if isinstance(line, BrokenLine) else _TAIL.fullmatch(line[-_TAIL_BYTES:])
    return (match[1].decode(), match[2].decode()) if match else (None, None)


def _first_hash(segment: Segment) -> str | None:
    for line in segment_lines(segment.path):
        whole = line.endswith(b"\n") or isinstance(line, BrokenLine)
        return prev_and_hash(line)[1] or _sha256(line) if whole else None
    return None


def _sha256(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
