"""The cells that a page links to: other agents on its task, other models, other tasks, other runs."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
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
    digest: str
    """Of what other pages show of it."""


class _Table(NamedTuple):
    title: str
    part: str
    """What its cells differ in."""
    places: list[_Place]


class Siblings:
    """Finds the siblings of cells.

    Args:
        entries: All cells of the site.
    """

    def __init__(self, entries: Iterable[SiteEntry]) -> None:
        self._places: dict[str, _Place] = {}
        self._groups: defaultdict[tuple[str, ...], list[_Place]] = defaultdict(list)
        for entry in entries:
            parts = entry.parts
            if parts is not None:
                shown = f"{entry.stem}\0{entry.known_tokens}\0".encode() + entry.result
                place = _Place(entry, parts, sha256(shown).hexdigest())
                self._places[entry.stem] = place
                for key in _keys(parts):
                    self._groups[key].append(place)

    def digest(self, entry: SiteEntry) -> str:
        """Return the digest of what `html` returns; it is cheaper."""
        digest = sha256()
        for table in self._tables(entry):
            digest.update(f"{table.title}\0{len(table.places)}\0".encode())
            for place in table.places[:MOST_ROWS]:
                digest.update(place.digest.encode())
        return digest.hexdigest()

    def html(self, entry: SiteEntry) -> str:
        """Return the part of a cell's page that links to its siblings."""
        groups = [_group(table, self._places[entry.stem].parts) for table in self._tables(entry)]
        return render(TEMPLATE, groups=groups)

    def _tables(self, entry: SiteEntry) -> Iterator[_Table]:
        own = self._places.get(entry.stem)
        if own is None:
            return
        agents, models, tasks, runs = (self._groups[key] for key in _keys(own.parts))
        for title, part, places in (
            ("Other CLIs on this task", "tui", agents),
            ("Other models with this CLI", "model", models),
            ("Other tasks in this category", "task_id", tasks),
        ):
            yield _Table(title, part, _one_each(places, own.parts, part))
        yield _Table("Other runs of this cell", "run", [place for place in runs if place != own])


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


def _group(table: _Table, own: CellId) -> SiblingGroup:
    rows = [_row(place, own, table.part) for place in table.places[:MOST_ROWS]]
    return SiblingGroup(table.title, rows, len(table.places) - len(rows))


def _row(place: _Place, own: CellId, part: str) -> SiblingRow:
    figures = place.entry.figures()
    return SiblingRow(
        name=_name(place, own, part),
        href=f"{place.entry.stem}.html",
        result=figures.verdict.word,
        is_bad=figures.verdict.is_bad,
        tokens=figures.tokens,
        wall=figures.wall,
    )


def _name(place: _Place, own: CellId, part: str) -> str:
    parts = place.parts
    run = "" if parts.run is None else f"run {parts.run}"
    sweep = "" if parts.sweep == own.sweep else f"sweep {parts.sweep}"
    if part == "run":
        when = place.entry.started_at or ""
        run = run or when[:16].replace("T", " ") or "run"
        return ", ".join(filter(None, (run, sweep)))
    return ", ".join(filter(None, (getattr(parts, part), run, sweep)))


def splice(page: str, siblings: str) -> str:
    """Return a page with other siblings in it."""
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    return f"{before}{start}\n{siblings}\n{end}{after}" if end else page
