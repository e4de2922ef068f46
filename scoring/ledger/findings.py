"""What a verification finds: faults by segment and line, and the heads that an operator can note."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

MAX_FAULTS = 1000
"""Faults that are listed one by one; a file of garbage must not fill the memory."""


class Fault(NamedTuple):
    """One thing that does not hold."""

    path: Path
    """The file, or the ledger's folder."""
    line: int | None
    """1-based, None where the fault is not in a line."""
    what: str
    """What is wrong, in one line."""

    def __str__(self) -> str:
        where = self.path.name if self.line is None else f"{self.path.name}:{self.line}"
        return f"{where}: {self.what}"


class ChainHead(NamedTuple):
    """Where a chain stands."""

    chain: str
    """Its name, such as `w0`."""
    segments: int
    records: int
    hash: str
    """`hash` of its last line, 64 zeros if it has none; note it elsewhere, and no earlier line can be
    changed or cut off unnoticed."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What a ledger or a slice was found to be."""

    faults: tuple[Fault, ...]
    """The first of them, in the order of the ledger."""
    fault_count: int
    """All of them."""
    heads: tuple[ChainHead, ...]
    """One per chain, in the ledger's order; none of a slice."""
    segments: int
    """Files that were read."""
    records: int
    """Lines that were read."""
    size_bytes: int
    """Their bytes, unpacked."""

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return self.fault_count == 0


@dataclass(slots=True)
class Findings:
    """Collects what one verification finds."""

    faults: list[Fault] = field(default_factory=list[Fault])
    fault_count: int = 0
    heads: list[ChainHead] = field(default_factory=list[ChainHead])
    segments: int = 0
    records: int = 0
    size_bytes: int = 0

    def add(self, path: Path, line: int | None, what: str) -> None:
        """Add a fault."""
        self.fault_count += 1
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(Fault(path, line, what))

    def result(self) -> Verification:
        """Return what was found."""
        return Verification(
            tuple(self.faults),
            self.fault_count,
            tuple(self.heads),
            self.segments,
            self.records,
            self.size_bytes,
        )
