"""The state of a sweep: what its journal and its bundles say of each slot."""

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cab.adapters.sweeps.classify import Classification
from cab.adapters.sweeps.journal import Begin, End, Entry, Session
from cab.scoring.ids import parse_cell_id
from cab.scoring.ledger.totals import CallTotals

BUNDLES = "runs"
"""Folder of the results."""
FAILED = "failed"
"""Folder of attempts without a result: killed, stopped, failed, cut off by the budget.

Sweeps of CAB before this name have a folder `apart`; it stays where the journal says it is.
"""


@dataclass(slots=True)
class SweepState:
    """What a journal comes to."""

    complete: dict[str, str] = field(default_factory=dict[str, str])
    """Slot -> cell that fills it."""
    unfilled: dict[str, End] = field(default_factory=dict[str, End])
    """Slot without a result -> how its last attempt ended."""
    failed_attempts: list[End] = field(default_factory=list[End])
    ended_attempts: dict[str, End] = field(default_factory=dict[str, End])
    """Cell -> how its attempt ended, with and without a result."""
    _open: dict[str, Begin] = field(default_factory=dict[str, Begin])
    numbers: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set[int]))
    """Cell without its run -> numbers of runs that the ledger knows."""
    wall_s: float = 0.0
    """How long the sweep ran, all its sessions together."""
    last_session: Session | None = None

    @property
    def open_attempts(self) -> list[Begin]:
        """Attempts that started and have no end: they were killed, or finished a moment before."""
        return list(self._open.values())

    def apply(self, entry: Entry) -> None:
        """Bring the state up to date with one more entry of the journal."""
        match entry:
            case Session():
                self.last_session = entry
            case Begin():
                self._open[entry.cell_id] = entry
                self.reserve_numbers([entry.cell_id])
            case End():
                # By name: a fleet has a thousand open attempts at each of a million ends.
                self._open.pop(entry.cell_id, None)
                self.reserve_numbers([entry.cell_id])
                self.ended_attempts[entry.cell_id] = entry
                if entry.verdict == "complete":
                    self.complete[entry.slot] = entry.cell_id
                    self.unfilled.pop(entry.slot, None)
                else:
                    self.unfilled[entry.slot] = entry
                    self.failed_attempts.append(entry)
            case _:
                pass

    def next_number(self, slot: str, runs: int) -> int:
        """Return the number of a slot's next attempt.

        The first attempt has the slot's own number. A cell's calls are in the ledger for good, so
        another attempt needs a number that no run of the matrix has and no attempt had.
        """
        used = self.numbers[_without_run(slot)]
        wanted = parse_cell_id(slot).run or 1
        return wanted if wanted not in used else max(*used, runs) + 1

    def reserve_numbers(self, cell_ids: Iterable[str]) -> None:
        """Take note of the numbers of some cells: they cannot be used again."""
        for cell_id in cell_ids:
            self.numbers[_without_run(cell_id)].add(parse_cell_id(cell_id).run or 1)


def replay(entries: Iterable[Entry]) -> SweepState:
    """Return what a journal comes to."""
    state = SweepState()
    before = None
    for entry in entries:
        state.apply(entry)
        now = datetime.fromisoformat(entry.at)
        if before is not None and not isinstance(entry, Session):
            state.wall_s += max(0.0, (now - before).total_seconds())
        before = now
    return state


def close_attempt(  # noqa: PLR0913 - all that is known of it
    folder: Path,
    begin: Begin,
    found: Classification,
    spend: CallTotals,
    *,
    passed: bool | None,
    node: str | None = None,
) -> End:
    """Return the entry that ends an attempt; the bundle of one without a result is moved away.

    Args:
        folder: The sweep's.
        begin: How the attempt started.
        found: How it ended.
        spend: What its calls came to.
        passed: The verdict of its check.
        node: The machine of a cluster that it ran on.
    """
    cell_id = begin.cell_id
    is_result = found.verdict == "complete"
    return End(
        slot=begin.slot,
        cell_id=cell_id,
        verdict=found.verdict,
        reason=found.reason,
        bundle=f"{BUNDLES}/{cell_id}" if is_result else move_to_failed(folder, cell_id),
        passed=passed,
        node=node,
        calls=spend.calls,
        tokens=spend.tokens.total.value,
    )


def move_to_failed(folder: Path, cell_id: str) -> str | None:
    """Move a bundle away from the results; return its new path below the folder, None if there is none."""
    bundle, target = folder / BUNDLES / cell_id, folder / FAILED / cell_id
    if not bundle.exists():
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():  # it was moved before, and somebody put a copy of it back
        target = target.with_name(f"{target.name}-{time.time_ns()}")
    bundle.rename(target)
    return str(target.relative_to(folder))


def _without_run(cell_id: str) -> str:
    return cell_id.rpartition("#run")[0]
