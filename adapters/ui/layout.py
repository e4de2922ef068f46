"""Rows and columns of texts in the width that there is: which columns show, and how wide each is.

No row is longer than the width and no number is cut. What does not fit is left out by columns, those of
the highest rank first; only texts are shortened, with an ellipsis. Widths are in cells of a terminal:
a wide character takes two of them, a combining one none.

>>> table = layout((Column("agent", "text"), Column("cost", unit="$", rank=1)), [("aider", "0.25")], 9)
>>> list(table.head()), table.line(("aider", "0.25")), table.left_out
(['agent', '─────'], 'aider', ('cost, $',))
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Literal, NamedTuple

from rich.cells import cell_len

ColumnKind = Literal["number", "name", "text", "path"]
"""A number and a name are whole or not there; a text may lose its end, and a path its beginning."""

GAP = "  "
_WORD = re.compile(r"[^\s-]+-?|-")  # where a title may be broken
ELLIPSIS = "…"
LEAST_WIDTH = 20
"""Cells; a terminal that says it is narrower is taken for one of these."""


class Column(NamedTuple):
    """One column of a table."""

    title: str
    kind: ColumnKind = "number"
    unit: str = ""
    """Of all its numbers."""
    rank: int = 0
    """Columns of the highest rank are left out first, those of rank 0 last."""
    least: int = 12
    """A text gets that many cells, if it has them, before a column of rank 0 is left out."""
    typical: int = 0
    """Cells that its contents take at least; for tables whose rows are not known at the start."""

    @property
    def head(self) -> str:
        """Title and unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    @property
    def is_cuttable(self) -> bool:
        """Whether its contents may be shortened."""
        return self.kind in {"text", "path"}


@dataclass(frozen=True, slots=True)
class Layout:
    """How a table is written."""

    columns: Sequence[Column]
    shown: Sequence[int]
    """Numbers of the columns that are written."""
    widths: Sequence[int]
    """Cells of each of them."""
    width: int | None
    """Cells of a line; None writes every text in full."""

    @property
    def left_out(self) -> tuple[str, ...]:
        """Heads of the columns that are not written."""
        return tuple(
            column.head for number, column in enumerate(self.columns) if number not in self.shown
        )

    def head(self) -> Iterator[str]:
        """Yield what stands above the rows: one line in full, or heads on several lines and a rule."""
        shown = [self.columns[number] for number in self.shown]
        heads = [
            [column.head] if self.width is None else _head(column, width)
            for column, width in zip(shown, self.widths, strict=True)
        ]
        height = max(map(len, heads))
        for line in zip(*([""] * (height - len(head)) + head for head in heads), strict=True):
            yield self._joined(line, self.widths)
        if self.width is not None:
            yield GAP.join("─" * width for width in self.widths)

    def line(self, row: Sequence[str]) -> str:
        """Return a row; its texts must be printable.

        A number that is wider than its column takes the cells from the row's texts.
        """
        parts = [row[number] for number in self.shown]
        if self.width is None:
            return self._joined(parts, self.widths)
        widths = list(self.widths)
        over = 0
        for place, number in enumerate(self.shown):
            if not self.columns[number].is_cuttable:
                grown = max(widths[place], cells(parts[place]))
                over, widths[place] = over + grown - widths[place], grown
        for place, number in reversed(list(enumerate(self.shown))):
            if over and self.columns[number].is_cuttable:
                given = min(over, widths[place] - 1)
                over, widths[place] = over - given, widths[place] - given
        cut = [
            _cut(part, width, self.columns[number].kind)
            for part, width, number in zip(parts, widths, self.shown, strict=True)
        ]
        return self._joined(cut, widths)

    def _joined(self, parts: Sequence[str], widths: Sequence[int]) -> str:
        line = GAP.join(
            _aligned(part, width, self.columns[number].kind)
            for part, width, number in zip(parts, widths, self.shown, strict=True)
        )
        return line.rstrip()


def layout(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> Layout:
    """Return how a table is written.

    Args:
        columns: Its columns; at least one.
        rows: Printable texts, one per column.
        width: Cells of a line; None leaves nothing out.
    """
    contents = [
        max([column.typical, *(cells(row[number]) for row in rows)])
        for number, column in enumerate(columns)
    ]
    whole = [
        max(cells(column.head), content) for column, content in zip(columns, contents, strict=True)
    ]
    if width is None:
        return Layout(columns, range(len(columns)), whole, None)
    width = max(width, LEAST_WIDTH)
    least = [
        _least(column, content, column.least)
        for column, content in zip(columns, contents, strict=True)
    ]
    shown = _chosen(columns, least, width)
    if _total(least, shown) > width:
        least = [
            _least(column, content, 4) for column, content in zip(columns, contents, strict=True)
        ]
        while _total(least, shown) > width and len(shown) > 1:
            shown.pop()
    widths = [least[number] for number in shown]
    if len(shown) == 1 and columns[shown[0]].is_cuttable:
        widths = [min(widths[0], width)]
    spare = width - sum(widths) - len(GAP) * (len(shown) - 1)
    # Texts first, then heads: a text that is cut loses more than a head on several lines.
    spare = _widen(widths, [contents[number] for number in shown], spare)
    spare = _widen(widths, [_two_lines(columns[number]) for number in shown], spare)
    if sum(max(whole[n] - widths[place], 0) for place, n in enumerate(shown)) <= spare:
        _widen(widths, [whole[number] for number in shown], spare)
    return Layout(columns, shown, widths, width)


def cells(text: str) -> int:
    """Return how many cells a text takes."""
    return len(text) if text.isascii() else cell_len(text)


def _least(column: Column, content: int, least: int) -> int:
    word = max(map(cells, (*_WORD.findall(column.title), column.unit)))
    return max(min(content, least) if column.is_cuttable else content, word)


def _total(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[number] for number in shown) + len(GAP) * (len(shown) - 1)


def _chosen(columns: Sequence[Column], least: Sequence[int], width: int) -> list[int]:
    """Return the columns that fit, in their order; those of rank 0 even if they do not."""
    shown = list(range(len(columns)))
    while _total(least, shown) > width:
        last = max(shown, key=lambda number: (columns[number].rank, number))
        if not columns[last].rank:
            break
        shown.remove(last)
    return shown


def _widen(widths: list[int], goals: Sequence[int], spare: int) -> int:
    """Give spare cells to the columns that want more, in equal parts; return what is left."""
    wants = sorted(
        (goal - width, place)
        for place, (width, goal) in enumerate(zip(widths, goals, strict=True))
        if goal > width
    )
    for done, (want, place) in enumerate(wants):
        given = max(0, min(want, spare // (len(wants) - done)))
        widths[place] += given
        spare -= given
    return spare


def _two_lines(column: Column) -> int:
    """Return the least width in which a title needs two lines at most."""
    title = column.title
    return next(width for width in range(1, cells(title) + 1) if len(_lines(title, width)) <= 2)


def _head(column: Column, width: int) -> list[str]:
    """Return the lines of a head; a unit that does not fit beside its title is below it."""
    if cells(column.head) <= width:
        return [column.head]
    return [*_lines(column.title, width), *([column.unit] if column.unit else [])]


def _lines(title: str, width: int) -> list[str]:
    return wrap(title, width, break_long_words=False)


def _aligned(text: str, width: int, kind: ColumnKind) -> str:
    fill = " " * (width - cells(text))
    return f"{fill}{text}" if kind == "number" else f"{text}{fill}"


def _cut(text: str, width: int, kind: ColumnKind) -> str:
    if kind in {"number", "name"} or cells(text) <= width:
        return text
    low, high = 0, min(len(text), len(text) if kind == "path" else width * 8)
    while low < high:  # how many characters may stay
        middle = (low + high + 1) // 2
        kept = text[-middle:] if kind == "path" else text[:middle]
        low, high = (middle, high) if cells(kept) < width else (low, middle - 1)
    if kind != "path":
        return f"{text[:low]}{ELLIPSIS}"
    kept = text[len(text) - low :]
    while kept and not cells(kept[0]):
        kept = kept[1:]  # a mark whose letter was cut off would stand over the ellipsis
    return f"{ELLIPSIS}{kept}"
