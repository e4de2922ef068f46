"""Signed heads: seals and checkpoints name where every chain of their ledger stood."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field, ValidationError

from cab.scoring.errors import BadRecord
from cab.scoring.files import FileModel, is_list
from cab.scoring.ledger.archive.checkpoints import checkpoints
from cab.scoring.ledger.records import Count, Sha256Hex, parse_fields
from cab.scoring.ledger.segments import find_segments, segment_lines
from cab.scoring.ledger.signatures import PublicSealKey, public_key_id, signature_fault
from cab.scoring.ledger.verification.findings import Findings

CHECKPOINT = "checkpoint"
"""`kind` of a record that states the heads and nothing else."""
STATES_HEADS = ("cell_seal", CHECKPOINT)
"""Kinds of records that state them."""

_MARKS = tuple(b'"kind":"%b"' % kind.encode() for kind in STATES_HEADS)


class LedgerHead(FileModel):
    """Where a chain stood."""

    chain: str
    """Its name, such as `w0`."""
    segment: Annotated[int, Field(ge=1)]
    """Number of the segment that its last line is in."""
    size_bytes: Count
    """Bytes of that segment, unpacked, to the end of that line."""
    hash: Sha256Hex
    """`hash` of that line."""


@dataclass(slots=True)
class SignedHeads:
    """What the seals and checkpoints of a ledger state under one key."""

    latest: dict[str, LedgerHead] = field(default_factory=dict[str, LedgerHead])
    """Chain -> where it stood last."""
    signed: int = 0
    """Records whose signature is valid."""
    others: dict[str, int] = field(default_factory=dict[str, int])
    """Key, or `nobody` -> records that it signed."""

    def add(self, record: dict[str, Any], key: PublicSealKey) -> str | None:
        """Look at a seal or checkpoint; return what is wrong with it, None if nothing is."""
        signer = "nobody" if record.get("signature") is None else str(record.get("public_key_id"))
        if signer != public_key_id(key):
            self.others[signer] = self.others.get(signer, 0) + 1
            return None
        fault = signature_fault(record, key)
        if fault is not None:
            return fault
        self.signed += 1
        for head in stated_heads(record):
            before = self.latest.get(head.chain, head)
            self.latest[head.chain] = max(before, head, key=_place)
        return None


class _Statement(NamedTuple):
    path: Path
    number: int
    record: dict[str, Any]


def stated_heads(record: dict[str, Any]) -> list[LedgerHead]:
    """Return the heads that a seal or checkpoint states; none if it does not, or not in their form."""
    heads: object = record.get("heads")
    try:
        return [LedgerHead.model_validate(head) for head in heads] if is_list(heads) else []
    except ValidationError:
        return []


def signed_heads(folder: Path, key: PublicSealKey, findings: Findings) -> SignedHeads:
    """Return what a ledger states under a key, in one pass.

    Args:
        folder: The ledger.
        key: The public key.
        findings: Takes the signatures that do not hold.
    """
    found = SignedHeads()
    for path, number, record in _statements(folder):
        fault = found.add(record, key)
        if fault is not None:
            findings.add(path, number, fault)
    _add_archives(folder, key, found, findings)
    if not found.signed:
        findings.add(folder, None, f"nothing in it is signed with {public_key_id(key)}")
    for signer, count in found.others.items():
        findings.leave(f"{count} seals and checkpoints, signed with {signer}: give that key")
    return found


def _add_archives(folder: Path, key: PublicSealKey, found: SignedHeads, findings: Findings) -> None:
    """Add the archive checkpoints of a folder; what archived lines say of others is not to be found there."""
    archives = checkpoints(folder)
    if any(each.is_in_archive for each in archives):
        found.latest.clear()
    for each in archives:
        before = found.signed
        fault = found.add(each.record, key)
        if fault is None and found.signed == before:
            fault = f"it is not signed with {public_key_id(key)}"
        if fault is not None:
            findings.add(each.path, None, fault)


def _statements(folder: Path) -> Iterator[_Statement]:
    """Yield the seals and checkpoints; what cannot be read is left to the check of the chains."""
    for segment in find_segments(folder):
        try:
            for number, line in enumerate(segment_lines(segment.path), 1):
                if any(mark in line for mark in _MARKS):
                    record = _fields(line)
                    if record.get("kind") in STATES_HEADS:
                        yield _Statement(segment.path, number, record)
        except BadRecord:
            continue


def _fields(line: bytes) -> dict[str, Any]:
    try:
        return parse_fields(line)
    except BadRecord:
        return {}


def _place(head: LedgerHead) -> tuple[int, int]:
    return head.segment, head.size_bytes
