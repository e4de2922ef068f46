"""What archive checkpoints say in a verification: where a chain goes on, and where it ended."""

from pathlib import Path
from typing import Any

from cab.scoring.errors import BadRecord
from cab.scoring.ledger.archive.checkpoints import checkpoints
from cab.scoring.ledger.records import GENESIS, parse_fields
from cab.scoring.ledger.segments import Segment, segment_lines
from cab.scoring.ledger.verification.findings import Findings


class ArchiveCheck:
    """Holds the checkpoints of a folder against its segments.

    Args:
        folder: A ledger, or an archive's folder.
        segments: Its segments.
        findings: Takes what does not hold.
        is_keyed: Whether signatures are checked elsewhere.
    """

    def __init__(
        self, folder: Path, segments: list[Segment], findings: Findings, *, is_keyed: bool
    ) -> None:
        self._behind: dict[tuple[str, int], str] = {}
        self._until: dict[str, int] = {}
        self._hashes: set[bytes] = set()
        self._wanted: dict[bytes, str] = {}
        self.hint = ""
        """What is added to the fault that a head is missing."""
        present = {segment.chain for segment in segments}
        for found in checkpoints(folder):
            stated = found.stated
            name = f"archive checkpoint {stated.number}"
            for chain in stated.chains:
                self._hashes.add(chain.hash.encode())
                if chain.chain not in present:
                    what = f"chain {chain.chain} is missing, {found.path.name} names it"
                    findings.add(folder, None, what)
                if found.is_in_archive:
                    self._wanted[chain.hash.encode()] = f"archived ({chain.chain})"
                    # A chain that another archive has the beginning of.
                    self._place(findings, found.path, chain.chain, chain.first_segment, chain.prev)
                else:
                    at = chain.last_segment + 1
                    self._place(findings, found.path, chain.chain, at, chain.hash)
                    self._until[chain.chain] = max(at - 1, self._until.get(chain.chain, 0))
            if not found.is_in_archive:
                self.hint = "; if it was archived, verify the archive's folder as well"
                where = f"{name}: its lines are in {stated.folder}, and verified there"
                findings.check(where)
            if found.record.get("signature") is None:
                findings.leave(f"who made {name}: it is not signed")
            elif not is_keyed:
                findings.leave(f"the signature of {name}: give --public-key")

    def _place(self, findings: Findings, path: Path, chain: str, number: int, behind: str) -> None:
        """Note what stands before a segment; two checkpoints must not say different things."""
        if self._behind.setdefault((chain, number), behind) != behind:
            findings.add(path, None, f"another checkpoint has segment {number} of {chain} differ")

    def has_archived(self, chain: str, segment: int) -> bool:
        """Return whether a segment is archived, so that a checkpoint stands for it."""
        return segment <= self._until.get(chain, 0)

    def hash_before(self, segment: Segment) -> str | None:
        """Return what the first line of a segment must follow; None if no checkpoint says so."""
        behind = self._behind.get((segment.chain, segment.number))
        return None if behind == GENESIS else behind

    def sort_out(self, wanted: dict[bytes, str]) -> dict[bytes, str]:
        """Return which heads must be lines here: not those of a checkpoint in the ledger."""
        return {h: why for h, why in wanted.items() if h not in self._hashes} | self._wanted


def first_fields(segment: Segment) -> dict[str, Any]:
    """Return the members of a segment's first record; none if it cannot be read."""
    try:
        line = next(iter(segment_lines(segment.path)), b"")
        return parse_fields(line)
    except BadRecord:
        return {}
