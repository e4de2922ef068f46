"""Cells of a site as statistics take them, each with the page that shows it."""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from cab.adapters.report.entries import SiteEntry
from cab.adapters.report.render.marks import Mark, weakest
from cab.scoring.analysis.aggregate import Part, part_of
from cab.scoring.analysis.observation import Observation
from cab.scoring.analysis.observe import observe
from cab.scoring.errors import ScoringError

RunKind = Literal["passed", "failed", "unchanged", "uncounted"]
"""How a run ended; `unchanged` has failed and changed no file, `uncounted` says nothing of the agent."""

RUN_WORDS: dict[RunKind, str] = {
    "passed": "passed",
    "failed": "failed",
    "unchanged": "failed, changed nothing",
    "uncounted": "says nothing of the agent",
}


class PlacedCell(NamedTuple):
    """A cell with its page."""

    seen: Observation
    href: str
    """Its page, from the site's folder."""
    kind: RunKind
    token_mark: Mark
    known_tokens: int | None
    """Of the calls that were counted; all of them unless the mark is `at least`."""
    cost_mark: Mark
    clock_mark: Mark
    """Of what was timed."""
    composite_mark: Mark
    started_at: str
    digest: bytes
    """Of all that pages show of it."""

    @property
    def model(self) -> str:
        """Model as the endpoint names it."""
        return self.seen.cell.model

    @property
    def tui(self) -> str:
        """The agent CLI."""
        return self.seen.cell.tui

    @property
    def task(self) -> str:
        """`family/task`."""
        return self.seen.cell.task_id

    @property
    def run_words(self) -> str:
        """Which run it is and how it ended, to be read."""
        run = self.seen.cell.run
        name = "run" if run is None else f"run {run}"
        return f"{self.tui}, {self.model}, {self.task}, {name}: {RUN_WORDS[self.kind]}"


def placed_cells(entries: Iterable[SiteEntry]) -> list[PlacedCell]:
    """Return the cells of entries whose ids have parts; others can be in no group.

    They come in the order of task, agent, model, sweep, run and time.
    """
    found: list[PlacedCell] = []
    for entry in entries:
        fields = entry.fields
        try:
            seen = observe(fields)
        except ScoringError:
            continue
        found.append(
            PlacedCell(
                seen,
                href=entry.href,
                kind=_kind(seen, fields),
                token_mark=entry.token_mark,
                known_tokens=entry.known_tokens,
                cost_mark=entry.cost_mark,
                clock_mark=entry.clock_mark,
                composite_mark=entry.composite_mark,
                started_at=entry.started_at or "",
                digest=entry.digest(),
            )
        )
    return sorted(found, key=_place)


def _place(cell: PlacedCell) -> tuple[object, ...]:
    found = cell.seen.cell
    return cell.task, cell.tui, cell.model, found.sweep, found.run or 0, cell.started_at


def _kind(seen: Observation, fields: dict[str, Any]) -> RunKind:
    if not seen.decided:
        return "uncounted"
    if seen.passed:
        return "passed"
    changes: dict[str, Any] = fields.get("blast_radius") or {}
    return "unchanged" if changes.get("total_changes") == 0 else "failed"


def values_of(cells: Iterable[PlacedCell], part: Part) -> list[str]:
    """Return the different values of a part of the cells' ids, sorted."""
    return sorted({part_of(cell.seen.cell, part) for cell in cells})


def sum_mark(cells: Iterable[PlacedCell]) -> Mark:
    """Return the mark of a sum of the cells' tokens: its weakest part's, `at least` if one is missing."""
    mark = weakest(cell.token_mark for cell in cells)
    return "at least" if mark == "not recorded" else mark
