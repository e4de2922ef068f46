"""Reads what is to be archived: it must hold, and what its cells have spent is kept."""

from typing import Any, NamedTuple

import orjson
import zstandard

from cab.proxy.ledger.archive.choice import ChosenChain
from cab.proxy.ledger.archive.files import file_sha256
from cab.proxy.ledger.snapshot.fold import Fold
from cab.proxy.ledger.snapshot.rows import CellRow
from cab.scoring.errors import BadRecord
from cab.scoring.ledger.archive.checkpoints import ArchivedChain, ArchivedHead
from cab.scoring.ledger.chain import Links
from cab.scoring.ledger.reading import damaged_fields
from cab.scoring.ledger.records import GENESIS, parse_fields
from cab.scoring.ledger.segments import Segment, segment_lines


class MovedChain(NamedTuple):
    """A chain's segments, read and found to hold."""

    chain: ArchivedChain
    head: ArchivedHead
    """Where it ends."""


class MovedLedger:
    """What some segments hold.

    Args:
        before: Chains as an earlier checkpoint has them, by name.
    """

    def __init__(self, before: dict[str, ArchivedChain]) -> None:
        self._before = before
        self._fold = Fold(lambda _: CellRow(), {}, whole=True)
        self.sha256: dict[str, str] = {}
        """Of each segment's file, by name."""
        self.signed = self.calls = 0

    def read(self, chosen: ChosenChain) -> MovedChain:
        """Read the segments of a chain.

        Raises:
            BadRecord: They do not hold: a checkpoint that says so cannot be made.
        """
        name = f"w{chosen.worker}"
        before = self._before.get(name)
        prev = GENESIS if before is None else before.hash
        links, records, size, first = Links(), 0, 0, ""
        links.begin_behind(prev)
        number = 0 if before is None else before.last_segment
        for segment in chosen.segments:
            if segment.number != number + 1:
                raise BadRecord(str(segment.path), None, "the segment before it is missing")
            number = segment.number
            links.next_segment()
            size = 0
            for line in self._lines(segment, links, chosen.worker):
                first = first or line[-67:-3].decode()
                records, size = records + 1, size + len(line)
        head = links.head.decode()
        if head != chosen.next_prev:
            what = "its last line is not what the next segment follows"
            raise BadRecord(str(chosen.segments[-1].path), None, what)
        self._leave_open(chosen)
        stated = ArchivedChain(
            chain=name,
            first_segment=chosen.segments[0].number,
            last_segment=number,
            records=records,
            prev=prev,
            first_hash=first if before is None else before.first_hash,
            hash=head,
        )
        where = ArchivedHead(chain=name, segment=number, size_bytes=size, hash=head)
        return MovedChain(stated, where)

    def _lines(self, segment: Segment, links: Links, worker: int) -> Any:  # noqa: ANN401 - lines
        for number, line in enumerate(segment_lines(segment.path), 1):
            fault = links.check(line)
            if fault is not None:
                raise BadRecord(str(segment.path), number, fault)
            try:
                record = parse_fields(line)
            except BadRecord:
                record = damaged_fields(line)
            self.signed += record.get("signature") is not None
            self.calls += record.get("kind") == "end"
            if record.get("kind") != "proxy_start":
                self._take(worker, record)
            yield line
        self.sha256[segment.path.name] = file_sha256(segment.path)

    def _take(self, worker: int, record: dict[str, Any]) -> None:
        if record.get("cell_id") is not None or record.get("call_id") is not None:
            self._fold.take(worker, record)

    def _leave_open(self, chosen: ChosenChain) -> None:
        """Count calls that never end; those that were open when the next segment began end there."""
        for call_id, (worker, start) in list(self._fold.open_calls.items()):
            if worker != chosen.worker:
                continue
            del self._fold.open_calls[call_id]
            if call_id not in chosen.next_open:
                self._fold.rows[start.get("cell_id")].add(start)

    @property
    def cells(self) -> int:
        """How many cells have records here."""
        return len(self._fold.rows)

    def packed_cells(self) -> bytes:
        """Return the cells and their sums, sorted, one JSON line each, compressed."""
        rows = sorted(
            self._fold.rows.items(), key=lambda item: (item[0] is not None, item[0] or "")
        )
        lines = (
            orjson.dumps({"cell_id": cell, "sums": orjson.Fragment(row.packed())}) + b"\n"
            for cell, row in rows
        )
        packer = zstandard.ZstdCompressor(level=3, write_checksum=True)
        return packer.compress(b"".join(lines))
