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
    checked: tuple[str, ...] = ()
    """What was checked, each in a few words."""
    not_checked: tuple[str, ...] = ()
    """What it states that was not checked, and what would check it."""

    @property
    def holds(self) -> bool:
        """Whether nothing was found in what was checked."""
        return self.fault_count == 0

    @property
    def exit_code(self) -> int:
        """0: all was checked and holds; 1: something does not; 3: it holds, and not all was checked."""
        if not self.holds:
            return 1
        return 3 if self.not_checked else 0

    def as_findings(self) -> "Findings":
        """Return the same, so that more can be added."""
        return Findings(
            list(self.faults),
            self.fault_count,
            list(self.heads),
            self.segments,
            self.records,
            self.size_bytes,
            dict.fromkeys(self.checked),
            dict.fromkeys(self.not_checked),
        )


@dataclass(slots=True)
class Findings:
    """Collects what one verification finds."""

    faults: list[Fault] = field(default_factory=list[Fault])
    fault_count: int = 0
    heads: list[ChainHead] = field(default_factory=list[ChainHead])
    segments: int = 0
    records: int = 0
    size_bytes: int = 0
    checked: dict[str, None] = field(default_factory=dict[str, None])
    """Each once, in order."""
    not_checked: dict[str, None] = field(default_factory=dict[str, None])

    def check(self, what: str) -> None:
        """Note what was checked."""
        self.checked[what] = None

    def leave(self, what: str) -> None:
        """Note what was not checked."""
        self.not_checked[what] = None

    def add(self, path: Path, line: int | None, what: str) -> None:
        """Add a fault."""
        self.fault_count += 1
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(Fault(path, line, what))

    def extend(self, other: "Findings") -> None:
        """Add what another verification has found."""
        self.fault_count += other.fault_count
        self.faults += other.faults[: MAX_FAULTS - len(self.faults)]
        self.heads += other.heads
        self.segments += other.segments
        self.records += other.records
        self.size_bytes += other.size_bytes
        self.checked |= other.checked
        self.not_checked |= other.not_checked

    def result(self) -> Verification:
        """Return what was found."""
        return Verification(
            tuple(self.faults),
            self.fault_count,
            tuple(self.heads),
            self.segments,
            self.records,
            self.size_bytes,
            tuple(self.checked),
            tuple(self.not_checked),
        )
