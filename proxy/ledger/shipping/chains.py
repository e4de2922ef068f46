"""The chains of a ledger as a shipper sees them: which ledger they are of, and what lies in archives."""

import re
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from cab.proxy.ledger.shipping.chain_reader import first_line, sha256_of
from cab.proxy.ledger.shipping.sink import ChainIdentity, LedgerSink
from cab.scoring.errors import BadRecord
from cab.scoring.ledger.archive.checkpoints import FoundCheckpoint, checkpoints
from cab.scoring.ledger.chain import line_hash
from cab.scoring.ledger.segments import Segment, find_segments

_STATED_HASH = re.compile(rb',"hash":"([0-9a-f]{64})"\}\n')
_HASH_BYTES = len(b',"hash":""}\n') + 64


class FoundChain(NamedTuple):
    """A chain that has lines."""

    identity: ChainIdentity
    segments: list[Segment]
    """By number; those that an archive has too, if its folder is there."""


class ChainFinder:
    """Finds the chains of one folder; what never changes is read once.

    Args:
        folder: The ledger, or an archive's folder.
        name: What people call the ledger.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._ledgers: dict[int, tuple[tuple[int, int], str]] = {}

    def chains(self, sink: LedgerSink) -> list[FoundChain]:
        """Return the chains, by worker; one whose first line is not whole yet is left out.

        Raises:
            BadRecord: The folder, or a checkpoint in it, cannot be read.
            SinkFailed: The sink was asked, and is away.
        """
        if not self._folder.exists():
            return []  # the proxy has not made it yet
        found, archives = find_segments(self._folder), checkpoints(self._folder)
        grouped = {w: list(each) for w, each in groupby(found, lambda segment: segment.worker)}
        ledgers: dict[int, str] = {}
        for worker, segments in grouped.items():
            _add_archived(segments, archives)
            ledger = self._ledger_of(worker, segments, archives, sink)
            if ledger is not None:
                ledgers[worker] = ledger
        first = next(iter(ledgers.values()), "")
        return [
            FoundChain(ChainIdentity(ledger, f"w{worker}", first, self._name), grouped[worker])
            for worker, ledger in ledgers.items()
        ]

    def _ledger_of(
        self,
        worker: int,
        segments: list[Segment],
        archives: list[FoundCheckpoint],
        sink: LedgerSink,
    ) -> str | None:
        """Return the hash of the first line that a chain ever had; None while it has no whole line."""
        before = segments[0]
        facts = before.path.stat() if before.path.exists() else None
        # A new ledger in the same folder has another file; so has a segment that was compressed.
        mark = (before.number, facts.st_ino if facts else 0)
        known = self._ledgers.get(worker)
        # A plain one is looked at each time: a number of a file is given to another one later.
        if known is not None and known[0] == mark and before.compressed:
            return known[1]
        line = first_line(before)
        if line is None:
            return None
        ledger = hash_of(line) if before.number == 1 else _archived_first(worker, archives)
        if ledger is None and known is not None and known[0] == mark:
            return known[1]
        ledger = ledger or sink.known_ledger(before.chain, before.number, line) or hash_of(line)
        self._ledgers[worker] = mark, ledger
        return ledger


def hash_of(line: bytes) -> str:
    """Return the hash by which the first line of a chain names it: its own, or that of all its bytes."""
    stated = _STATED_HASH.fullmatch(line, max(0, len(line) - _HASH_BYTES))
    if stated is not None and stated[1] == line_hash(line):
        return stated[1].decode()
    return sha256_of(line)


def _archived_first(worker: int, archives: list[FoundCheckpoint]) -> str | None:
    for each in archives:
        for chain in each.stated.chains:
            if chain.chain == f"w{worker}":
                return chain.first_hash
    return None


def _add_archived(segments: list[Segment], archives: list[FoundCheckpoint]) -> None:
    """Put what was moved into archives before the segments, as far as the archives are there."""
    have, worker = {segment.number for segment in segments}, segments[0].worker
    for each in archives:
        last = max(
            (c.last_segment for c in each.stated.chains if c.chain == f"w{worker}"), default=0
        )
        if each.is_in_archive or not last:
            continue
        try:
            there = find_segments(Path(each.stated.folder))
        except BadRecord:
            continue  # on another machine, say: `cab ledger ship` sends it from there
        for segment in there:
            if segment.worker == worker and segment.number <= last and segment.number not in have:
                have.add(segment.number)
                segments.append(segment)
    segments.sort(key=lambda segment: segment.number)
