"""Verifies ledgers and slices offline: any edit, deletion, insertion, reordering or cut is named.

What a chain cannot show by itself is that its end is missing, or that all of it was written anew:
for that, note a head (`Verification.heads`) or keep a seal elsewhere, and verify against it.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from cab.scoring.errors import BadRecord
from cab.scoring.ledger.chain import Links
from cab.scoring.ledger.findings import ChainHead, Fault, Findings, Verification
from cab.scoring.ledger.records import GENESIS
from cab.scoring.ledger.seals import Seal
from cab.scoring.ledger.segments import Segment, find_segments, segment_lines
from cab.scoring.ledger.slices import SliceCheck, cell_lines
from cab.scoring.ledger.zstd import NoZstandard

__all__ = ["ChainHead", "Fault", "Verification", "verify_ledger", "verify_slice"]


def verify_ledger(folder: Path, head: str | Collection[str] | None = None) -> Verification:
    """Return whether the chains of a ledger hold, in one pass and bounded memory.

    Args:
        folder: The ledger, in use or not.
        head: `hash` of a line that was noted earlier, or several; the ledger must still hold it.

    Raises:
        BadRecord: The folder cannot be listed, or is compressed and `zstandard` is missing.
    """
    heads = {head} if isinstance(head, str) else set(head or ())
    wanted = {text.encode() for text in heads if text != GENESIS}
    findings = Findings()
    segments = find_segments(folder)
    if not segments:
        findings.add(folder, None, "holds no segment: a ledger has at least one, *.jsonl")
    for chain in _by_chain(segments):
        _check_chain(chain, wanted, findings)
    for missing in sorted(wanted):
        findings.add(
            folder,
            None,
            f"cut off or written anew: no line that holds has the noted head {missing.decode()}",
        )
    return findings.result()


def verify_slice(path: Path, seal: Seal) -> Verification:
    """Return whether a cell's lines are those that its seal states.

    Args:
        path: The cell's `calls.jsonl`, or a ledger, whose lines of other cells are passed over.
        seal: The seal; see `load_seal`.

    Raises:
        BadRecord: The file cannot be read.
    """
    findings = Findings(segments=1)
    check = SliceCheck(seal, path, findings)
    lines = cell_lines(path, seal.cell_id) if path.is_dir() else _numbered(path)
    try:
        for file, number, line in lines:
            findings.records += 1
            findings.size_bytes += len(line)
            check.add(file, number, line)
    except BadRecord as error:
        if error.line is None:
            raise  # nothing of it was read
        findings.add(Path(error.path), error.line, f"{error.reason}; the rest cannot be checked")
    check.finish()
    return findings.result()


def _numbered(path: Path) -> Iterator[tuple[Path, int, bytes]]:
    for number, line in enumerate(segment_lines(path), 1):
        yield path, number, line


def _by_chain(segments: list[Segment]) -> Iterator[list[Segment]]:
    chains: dict[str, list[Segment]] = {}
    for segment in segments:
        chains.setdefault(segment.chain, []).append(segment)
    yield from chains.values()


def _check_chain(chain: list[Segment], wanted: set[bytes], findings: Findings) -> None:
    links, before, last = Links(), findings.records, 0
    for segment in chain:
        gap = _check_number(segment, last, findings)
        last = segment.number or 0
        links.next_segment(gap=gap)
        _check_segment(segment, links, wanted, findings)
    records = findings.records - before
    findings.heads.append(ChainHead(chain[0].chain, len(chain), records, links.head.decode()))


def _check_number(segment: Segment, last: int, findings: Findings) -> bool:
    """Name the segments that are missing before one; return whether any are."""
    if segment.number is None or segment.number == last + 1:
        return False
    if segment.number == last:
        findings.add(segment.path, None, f"number {last} of {segment.chain} is there twice")
        return True
    first, until = last + 1, segment.number - 1
    span = f"segment {first} of {segment.chain} is"
    if first != until:
        span = f"segments {first} to {until} of {segment.chain} are"
    findings.add(segment.path, None, f"{span} missing before it")
    return True


def _check_segment(segment: Segment, links: Links, wanted: set[bytes], findings: Findings) -> None:
    path, number, size_bytes = segment.path, 0, 0
    check = links.check
    findings.segments += 1
    try:
        for number, line in enumerate(segment_lines(path), 1):
            size_bytes += len(line)
            what = check(line)
            if what is not None:
                findings.add(path, number, what)
            elif wanted and links.head in wanted:
                wanted.discard(links.head)
    except NoZstandard:
        raise  # the fix is not in the ledger
    except BadRecord as error:
        findings.add(path, error.line, f"{error.reason}; the rest of the file cannot be checked")
        links.next_segment(gap=True)
    findings.records += number
    findings.size_bytes += size_bytes
