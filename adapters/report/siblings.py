"""The cells that a page links to: other agents on its task, other models, other tasks, other runs."""

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
    digest: bytes


class _Table(NamedTuple):
    title: str
    part: str
    """What its cells differ in."""
    places: list[_Place]
    """The first ones."""
    number: int
    """Of all of them."""


class _Group:
    """Cells that have the parts of a key in common, looked up without going through all of them."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._places: list[_Place] = []
        self._best: dict[tuple[object, ...], tuple[tuple[object, ...], _Place]] = {}
        self._values: list[str] | None = None

    def add(self, place: _Place) -> None:
        self._places.append(place)
        parts = place.parts
        rank = parts.sweep, parts.run or 0, place.entry.stem
        for key in self._keys(parts, getattr(parts, self._part)):
            if key not in self._best or rank < self._best[key][0]:
                self._best[key] = rank, place

    def others(self, title: str, own: _Place) -> _Table:
        """Return all cells but one."""
        first = [place for place in self._places[: MOST_ROWS + 1] if place is not own][:MOST_ROWS]
        return _Table(title, self._part, first, len(self._places) - 1)

    def one_each(self, title: str, own: _Place) -> _Table:
        """Return one cell for each other value of the part: of the same sweep and run, if there is one."""
        if self._values is None:
            self._values = sorted({getattr(place.parts, self._part) for place in self._places})
        mine = getattr(own.parts, self._part)
        first = [value for value in self._values[: MOST_ROWS + 1] if value != mine][:MOST_ROWS]
        found = [
            next(self._best[key][1] for key in self._keys(own.parts, value) if key in self._best)
            for value in first
        ]
        return _Table(title, self._part, found, len(self._values) - 1)

    def _keys(self, parts: CellId, value: str) -> Sequence[tuple[object, ...]]:
        """Return what a cell with a value of the part is known by, the best first."""
        return (
            (value, parts.sweep, parts.run),
            (value, parts.sweep, _ANY),
            (value, _ANY, parts.run),
            (value, _ANY, _ANY),
        )


_ANY = object()


class Siblings:
    """Finds the siblings of cells.

    Args:
        entries: All cells of the site.
    """

    def __init__(self, entries: Iterable[SiteEntry]) -> None:
        self._places: dict[str, _Place] = {}
        self._groups: dict[tuple[str, ...], _Group] = {}
        for entry in entries:
            parts = entry.parts
            if parts is not None:
                place = _Place(entry, parts, entry.digest())
                self._places[entry.stem] = place
                for (_, part), key in zip(_TABLES, _keys(parts), strict=True):
                    self._groups.setdefault(key, _Group(part)).add(place)

    def digest(self, entry: SiteEntry) -> str:
        """Return the digest of what `html` returns; it is cheaper."""
        digest = sha256()
        for table in self._tables(entry):
            digest.update(f"{table.title}\0{table.number}\0".encode())
            for place in table.places:
                digest.update(place.digest)
        return digest.hexdigest()

    def html(self, entry: SiteEntry) -> str:
        """Return the part of a cell's page that links to its siblings."""
        groups = [_group(table, self._places[entry.stem].parts) for table in self._tables(entry)]
        return render(TEMPLATE, groups=groups)

    def _tables(self, entry: SiteEntry) -> Iterator[_Table]:
        own = self._places.get(entry.stem)
        if own is None:
            return
        groups = [self._groups[key] for key in _keys(own.parts)]
        for (title, part), group in zip(_TABLES, groups, strict=True):
            yield group.others(title, own) if part == "run" else group.one_each(title, own)


_TABLES = (
    ("Other CLIs on this task", "tui"),
    ("Other models with this CLI", "model"),
    ("Other tasks in this category", "task_id"),
    ("Other runs of this cell", "run"),
)
"""Title of each, and what its cells differ in."""


def _keys(parts: CellId) -> Sequence[tuple[str, ...]]:
    """Return what the cells of each table have in common, in the order of the tables."""
    return (
        ("agents", parts.model, parts.task_id),
        ("models", parts.tui, parts.task_id),
        ("tasks", parts.tui, parts.model, parts.family),
        ("runs", parts.tui, parts.model, parts.task_id),
    )


def _group(table: _Table, own: CellId) -> SiblingGroup:
    rows = [_row(place, own, table.part) for place in table.places]
    return SiblingGroup(table.title, rows, table.number - len(rows))


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
