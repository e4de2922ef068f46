"""Verifies ledgers and slices offline: any edit, deletion, insertion, reordering or cut is named.

What a chain cannot show by itself is that its end is missing, or that all of it was written anew:
for that, note a head (`Verification.heads`) or keep a seal elsewhere, and verify against it.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from cab.scoring.errors import BadRecord
from cab.scoring.files import StrPath, read_object, validated
from cab.scoring.ledger.archive.check import ArchiveCheck, first_fields
from cab.scoring.ledger.archive.segments import ArchivedCalls, archived_until
from cab.scoring.ledger.chain import Links
from cab.scoring.ledger.heads import STATES_HEADS, SignedHeads, signed_heads
from cab.scoring.ledger.records import GENESIS, parse_strictly
from cab.scoring.ledger.seals import Seal
from cab.scoring.ledger.segments import (
    Segment,
    find_segments,
    find_strays,
    ledgers_inside,
    segment_lines,
)
from cab.scoring.ledger.signatures import PublicSealKey, signature_fault
from cab.scoring.ledger.slices import SliceCheck, cell_lines
from cab.scoring.ledger.verification.call_ids import CallIds
from cab.scoring.ledger.verification.call_order import CallOrder
from cab.scoring.ledger.verification.findings import ChainHead, Fault, Findings, Verification
from cab.scoring.ledger.zstd import NoZstandard
from cab.scoring.printable import counted

__all__ = ["ChainHead", "Fault", "Verification", "verify_ledger", "verify_seal", "verify_slice"]


def verify_ledger(
    folder: StrPath,
    head: str | Collection[str] | None = None,
    public_key: PublicSealKey | None = None,
) -> Verification:
    """Return whether a ledger holds: its files, its chains, and the START and END of each call.

    One pass, whose memory grows by 24 bytes at most with each call; with a key two.

    Args:
        folder: The ledger, in use or not.
        head: `hash` of a line that was noted earlier, or several; the ledger must still hold it.
        public_key: What its seals and checkpoints are signed with. Their signatures must hold, and the
            ledger must have every chain that they name, as far as they say, and no other chain.

    Raises:
        BadRecord: The folder cannot be listed, or is compressed and `zstandard` is missing.
    """
    folder = Path(folder)
    heads = {head} if isinstance(head, str) else set(head or ())
    wanted = {text.encode(): "noted" for text in heads if text != GENESIS}
    findings = Findings()
    signed = None if public_key is None else signed_heads(folder, public_key, findings)
    segments = find_segments(folder)
    archive = ArchiveCheck(folder, segments, findings, is_keyed=public_key is not None)
    for chain in signed.latest.values() if signed else ():
        if not archive.has_archived(chain.chain, chain.segment):
            wanted[chain.hash.encode()] = f"signed ({chain.chain})"
    wanted = archive.sort_out(wanted)
    if not segments:
        what = "holds no segment: a ledger has at least one, w0-000001.jsonl"
        findings.add(folder, None, f"{what}{ledgers_inside(folder)}")
    for stray in find_strays(folder):
        what = "looks like a segment and is none, so nobody reads it: take it away"
        findings.add(stray, None, what)
    check = _LedgerCheck(findings, wanted, signed, archive)
    for one in _by_chain(segments):
        check.chain(one)
    check.finish(folder)
    return findings.result()


def verify_slice(path: StrPath, seal: Seal) -> Verification:
    """Return whether a cell's lines are those that its seal states.

    Args:
        path: The cell's `calls.jsonl`, or a ledger, whose lines of other cells are passed over.
        seal: The seal; see `load_seal`.

    Raises:
        BadRecord: The file cannot be read.
    """
    path = Path(path)
    findings = Findings()
    _check_slice(path, seal, findings)
    return findings.result()


def verify_seal(
    path: StrPath, seal_file: StrPath, public_key: PublicSealKey | None = None
) -> Verification:
    """Return whether a seal holds: its signature, and the lines that it states.

    Args:
        path: As for `verify_slice`; of a ledger, the heads that the seal names must be in it as well.
        seal_file: The seal.
        public_key: What it must be signed with.

    Raises:
        BadRecord: A file cannot be read.
    """
    path, seal_file = Path(path), Path(seal_file)
    findings = Findings()
    data = read_object(seal_file)
    seal = validated(Seal, data, seal_file)
    _check_slice(path, seal, findings)
    if public_key is not None:
        fault = signature_fault(data, public_key)
        findings.check(f"the signature of {seal_file.name}")
        if fault is not None:
            findings.add(seal_file, None, fault)
    elif seal.model_extra and seal.model_extra.get("signature") is not None:
        findings.leave(f"the signature of {seal_file.name}: give --public-key")
    else:
        findings.leave(f"who made {seal_file.name}: it is not signed")
    if path.is_dir() and seal.heads:
        until = {f"w{w}": last for w, last in archived_until(path.iterdir()).items()}
        heads = [head.hash for head in seal.heads if head.segment > until.get(head.chain, 0)]
        found = verify_ledger(path, heads, public_key)
        findings.extend(found.as_findings())
        findings.check(f"the heads that {seal_file.name} names")
    return findings.result()


def _check_slice(path: Path, seal: Seal, findings: Findings) -> None:
    findings.segments += 1
    check = SliceCheck(seal, path, findings)
    lines = cell_lines(path, seal.cell_id) if path.is_dir() else _numbered(path)
    try:
        for file, number, line in lines:
            findings.records += 1
            findings.size_bytes += len(line)
            check.add(file, number, line)
    except ArchivedCalls as error:
        findings.add(path, None, error.reason)
        return
    except BadRecord as error:
        if error.line is None:
            raise  # nothing of it was read
        findings.add(Path(error.path), error.line, f"{error.reason}; the rest cannot be checked")
    check.finish()
    findings.check("the lines of the cell against the digest, the number and the sums of its seal")


def _numbered(path: Path) -> Iterator[tuple[Path, int, bytes]]:
    for number, line in enumerate(segment_lines(path), 1):
        yield path, number, line


def _by_chain(segments: list[Segment]) -> Iterator[list[Segment]]:
    chains: dict[str, list[Segment]] = {}
    for segment in segments:
        chains.setdefault(segment.chain, []).append(segment)
    yield from chains.values()


class _LedgerCheck:
    """Holds the chains of a ledger against their own hashes, and against heads from elsewhere.

    Args:
        findings: Takes what is found.
        wanted: Hashes of lines that must be there, and where each is from.
        signed: What the ledger's own signed statements say, if a key was given.
        archive: Where chains begin whose segments are archived.
    """

    def __init__(
        self,
        findings: Findings,
        wanted: dict[bytes, str],
        signed: SignedHeads | None,
        archive: ArchiveCheck,
    ) -> None:
        self._archive = archive
        self._findings = findings
        self._wanted = wanted
        self._signed = signed
        self._started = CallIds()
        self._signatures = self._unreadable = 0
        self._calls_behind = 0  # START and END lines since the last head that was wanted

    def chain(self, segments: list[Segment]) -> None:
        """Check one chain."""
        findings = self._findings
        links, order = Links(), CallOrder(self._started)
        records, faults, last = findings.records, findings.fault_count, 0
        self._calls_behind = 0
        for segment in segments:
            behind = self._archive.hash_before(segment)
            if behind is not None and segment.number != last + 1:
                links.begin_behind(behind)
                order.begin(segment.path, first_fields(segment).get("open_calls"))
                last = segment.number - 1
            gap = _check_number(segment, last, findings)
            last = segment.number
            links.next_segment(gap=gap)
            self._segment(segment, links, order)
        # What is missing in a chain that does not hold was told already.
        order.finish(segments[-1].path, findings, chain_holds=findings.fault_count == faults)
        self._check_signed(segments)
        name, head = segments[0].chain, links.head.decode()
        findings.heads.append(ChainHead(name, len(segments), findings.records - records, head))

    def _segment(self, segment: Segment, links: Links, order: CallOrder) -> None:
        path, number, size_bytes, findings = segment.path, 0, 0, self._findings
        check, wanted = links.check, self._wanted
        findings.segments += 1
        try:
            for number, line in enumerate(segment_lines(path), 1):
                size_bytes += len(line)
                what = check(line)
                if what is not None:
                    findings.add(path, number, what)
                    continue
                self._record(path, number, line, order)
                if wanted and wanted.pop(links.head, None) is not None:
                    self._calls_behind = 0
        except NoZstandard:
            raise  # the fix is not in the ledger
        except BadRecord as error:
            what = f"{error.reason}; the rest of the file cannot be checked"
            findings.add(path, error.line, what)
            links.next_segment(gap=True)
        findings.records += number
        findings.size_bytes += size_bytes

    def _record(self, path: Path, number: int, line: bytes, order: CallOrder) -> None:
        try:
            fields = parse_strictly(line)
        except BadRecord as error:
            if error.field is None:
                self._findings.add(path, number, error.reason)
            else:  # a recovered proxy has reported it, and no reader takes it
                self._unreadable += 1
            return
        order.add(path, number, fields)
        kind = fields.get("kind")
        self._calls_behind += kind in ("start", "end")
        if kind in STATES_HEADS and fields.get("signature") is not None:
            self._signatures += 1

    def _check_signed(self, segments: list[Segment]) -> None:
        if self._signed is None or not self._signed.signed:
            return
        chain = segments[0].chain
        if not self._signed.latest:
            self._findings.leave(
                "chains and ends: no signed seal names heads, an older CAB wrote them"
            )
        elif chain not in self._signed.latest:
            what = (
                f"no signed checkpoint names chain {chain}: it was put in, or began after the last"
            )
            self._findings.add(segments[0].path, None, what)
        elif self._calls_behind:
            what = f"{counted(self._calls_behind, 'line')} of calls behind the last signed head of {chain}"
            self._findings.leave(f"{what}: no signature covers them")

    def finish(self, folder: Path) -> None:
        """Add what only the whole ledger shows."""
        findings = self._findings
        for missing, origin in sorted(self._wanted.items()):
            lost = f"no line that holds has the {origin} head {missing.decode()}"
            findings.add(folder, None, f"cut off or written anew: {lost}{self._archive.hint}")
        findings.check("names of files, hash chains, JSON, START and END of each call")
        if self._unreadable:
            what = f"{self._unreadable} damaged lines"
            findings.leave(f"{what}: call_id, cell_id, request_hash or seq is of the wrong type")
        if self._signed is not None:
            findings.check(f"{self._signed.signed} signed seals and checkpoints, and their heads")
        elif self._signatures:
            what = f"{self._signatures} signatures of seals and checkpoints"
            findings.leave(f"{what}: give --public-key")


def _check_number(segment: Segment, last: int, findings: Findings) -> bool:
    """Name the segments that are missing before one; return whether any are."""
    if segment.number == last + 1:
        return False
    first, until = last + 1, segment.number - 1
    span = f"segment {first} of {segment.chain} is"
    if first != until:
        span = f"segments {first} to {until} of {segment.chain} are"
    findings.add(segment.path, None, f"{span} missing before it")
    return True
