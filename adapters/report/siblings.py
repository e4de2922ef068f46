"""The cells that a page links to: other agents on its task, other models, other tasks, other runs."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from cab.adapters.report.entries import SiteEntry
from cab.adapters.report.render.environment import render
from cab.adapters.report.render.marks import MarkedText
from cab.scoring.ids import CellId

MOST_ROWS = 12
"""Of one table; a page of a large sweep stays a page."""

START, END = "<!--siblings-->", "<!--/siblings-->"
"""Around the siblings in a page. No text of a cell can hold them: `<` is escaped in all of them."""

TEMPLATE = "siblings.html.j2"


class SiblingRow(NamedTuple):
    """One cell."""

    name: str
    href: str
    result: str
    is_bad: bool
    tokens: MarkedText
    wall: MarkedText


class SiblingGroup(NamedTuple):
    """One table."""

    title: str
    rows: list[SiblingRow]
    more: int
    """Cells that are not in it, for they are too many."""


class _Place(NamedTuple):
    entry: SiteEntry
    parts: CellId


class Siblings:
    """Finds the siblings of cells.

    Args:
        entries: All cells of the site.
    """

    def __init__(self, entries: Iterable[SiteEntry]) -> None:
        self._groups: defaultdict[tuple[str, ...], list[_Place]] = defaultdict(list)
        for entry in entries:
            parts = entry.parts
            if parts is not None:
                for key in _keys(parts):
                    self._groups[key].append(_Place(entry, parts))

    def html(self, entry: SiteEntry) -> str:
        """Return the part of a cell's page that links to its siblings."""
        return render(TEMPLATE, groups=list(self._tables(entry)))

    def _tables(self, entry: SiteEntry) -> Iterator[SiblingGroup]:
        parts = entry.parts
        if parts is None:
            return
        agents, models, tasks, runs = (self._groups[key] for key in _keys(parts))
        yield _table("Other CLIs on this task", entry, _one_each(agents, parts, "tui"), "tui")
        yield _table(
            "Other models with this CLI", entry, _one_each(models, parts, "model"), "model"
        )
        yield _table(
            "Other tasks in this category", entry, _one_each(tasks, parts, "task_id"), "task_id"
        )
        others = [place for place in runs if place.entry is not entry]
        yield _table("Other runs of this cell", entry, others, "run")


def _keys(parts: CellId) -> Sequence[tuple[str, ...]]:
    """Return what the cells of each table have in common, in the order of the tables."""
    return (
        ("agents", parts.model, parts.task_id),
        ("models", parts.tui, parts.task_id),
        ("tasks", parts.tui, parts.model, parts.family),
        ("runs", parts.tui, parts.model, parts.task_id),
    )


def _one_each(places: Sequence[_Place], own: CellId, part: str) -> list[_Place]:
    """Return one cell for each other value of a part: of the same sweep and run, if there is one."""
    best: dict[str, tuple[tuple[object, ...], _Place]] = {}
    mine = getattr(own, part)
    for place in places:
        value: str = getattr(place.parts, part)
        if value == mine:
            continue
        parts = place.parts
        rank = (parts.sweep != own.sweep, parts.run != own.run, parts.sweep, parts.run or 0)
        if value not in best or (*rank, place.entry.stem) < best[value][0]:
            best[value] = ((*rank, place.entry.stem), place)
    return [best[value][1] for value in sorted(best)]


def _table(title: str, entry: SiteEntry, places: Sequence[_Place], part: str) -> SiblingGroup:
    rows = [_row(place, entry, part) for place in places[:MOST_ROWS]]
    return SiblingGroup(title, rows, len(places) - len(rows))


def _row(place: _Place, entry: SiteEntry, part: str) -> SiblingRow:
    figures = place.entry.figures()
    return SiblingRow(
        name=_name(place, entry, part),
        href=f"{place.entry.stem}.html",
        result=figures.verdict.word,
        is_bad=figures.verdict.is_bad,
        tokens=figures.tokens,
        wall=figures.wall,
    )


def _name(place: _Place, entry: SiteEntry, part: str) -> str:
    parts = place.parts
    run = "" if parts.run is None else f"run {parts.run}"
    own = entry.parts
    sweep = "" if own is not None and parts.sweep == own.sweep else f"sweep {parts.sweep}"
    if part == "run":
        when = place.entry.started_at or ""
        return ", ".join(filter(None, (run or when[:16].replace("T", " ") or "run", sweep)))
    return ", ".join(filter(None, (getattr(parts, part), run, sweep)))


def splice(page: str, siblings: str) -> str:
    """Return a page with other siblings in it."""
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    return f"{before}{start}\n{siblings}\n{end}{after}" if end else page
