"""Where a sweep stands: what its journal and its bundles say of each slot."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cab.adapters.sweeps.journal import Begin, End, Entry, Session
from cab.scoring.ids import parse_cell_id

APART = "apart"
"""Folder of attempts that are no results: killed, stopped, failed, cut off by the budget."""
BUNDLES = "runs"
"""Folder of the results."""


@dataclass(slots=True)
class SweepState:
    """What a journal comes to."""

    complete: dict[str, str] = field(default_factory=dict[str, str])
    """Slot -> cell that fills it."""
    unfilled: dict[str, End] = field(default_factory=dict[str, End])
    """Slot that no result fills -> how its last attempt ended."""
    apart: list[End] = field(default_factory=list[End])
    """All attempts that are no results."""
    left_open: list[Begin] = field(default_factory=list[Begin])
    """Attempts that began and did not end: they were killed, or finished a moment before."""
    numbers: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set[int]))
    """Cell without its run -> numbers of runs that the ledger knows."""
    wall_s: float = 0.0
    """How long the sweep ran, all its sittings together."""
    last_sitting: Session | None = None
    """How the sweep was started last."""

    def take(self, entry: Entry) -> None:
        """Follow the journal by one entry."""
        match entry:
            case Session():
                self.last_sitting = entry
            case Begin():
                self.left_open.append(entry)
                self._count(entry.cell_id)
            case End():
                self._end(entry)
            case _:
                pass

    def next_number(self, slot: str, runs: int) -> int:
        """Return the number of a slot's next attempt.

        The first one has the slot's own. A cell's calls are in the ledger for good, so another attempt
        needs a number that no run of the matrix has and no attempt had.
        """
        cell = parse_cell_id(slot)
        used = self.numbers[_base(slot)]
        wanted = cell.run or 1
        return wanted if wanted not in used else max(*used, runs) + 1

    def count(self, cell_ids: Iterable[str]) -> None:
        """Take note of numbers that cannot be used again."""
        for cell_id in cell_ids:
            self._count(cell_id)

    def _end(self, entry: End) -> None:
        self.left_open = [begun for begun in self.left_open if begun.cell_id != entry.cell_id]
        self._count(entry.cell_id)
        if entry.verdict == "complete":
            self.complete[entry.slot] = entry.cell_id
            self.unfilled.pop(entry.slot, None)
        else:
            self.unfilled[entry.slot] = entry
            self.apart.append(entry)

    def _count(self, cell_id: str) -> None:
        self.numbers[_base(cell_id)].add(parse_cell_id(cell_id).run or 1)


def stand(entries: Iterable[Entry]) -> SweepState:
    """Return what a journal comes to."""
    standing = SweepState()
    began = before = None
    for entry in entries:
        standing.take(entry)
        now = datetime.fromisoformat(entry.at)
        if isinstance(entry, Session) or began is None or before is None:
            began = before = now
        standing.wall_s += max(0.0, (now - before).total_seconds())
        before = now
    return standing


def put_apart(folder: Path, cell_id: str) -> str | None:
    """Move a bundle away from the results; return its place below the folder, None if there is none."""
    bundle, target = folder / BUNDLES / cell_id, folder / APART / cell_id
    if not bundle.exists():
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    bundle.rename(target)
    return str(target.relative_to(folder))


def _base(cell_id: str) -> str:
    return cell_id.rpartition("#run")[0]
