"""The pairs of a comparison, each with the cells of both sides."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from cab.adapters.report.comparison.sides import Pairing
from cab.adapters.report.placed import PlacedCell, sum_mark
from cab.adapters.report.render.marks import MarkedText
from cab.adapters.report.render.numbers import integer
from cab.adapters.report.render.svg import spark
from cab.scoring.analysis.aggregate import Part, part_of

_MOST_MARKS = 20
"""Of one side of a pair: an agent may have thousands of runs of a task."""
MOST_PAIRS = 1000
"""On a page; those that flipped come first."""


class PairSide(NamedTuple):
    """The runs of one side."""

    cells: Sequence[PlacedCell]
    rate: float
    tokens: float | None
    """Mean; None unless those of all runs are known."""
    shown: MarkedText

    @property
    def linked(self) -> Sequence[PlacedCell]:
        """The runs that have a mark of their own."""
        return self.cells[:_MOST_MARKS]

    @property
    def more(self) -> int:
        """How many have none."""
        return len(self.cells) - len(self.linked)


class PairRow(NamedTuple):
    """A task, and what else both sides have in common."""

    key: Sequence[str]
    a: PairSide
    b: PairSide
    better: str
    """Name of the side with the higher pass rate; empty if they are alike."""
    chart: Markup


def pair_rows(pairing: Pairing, paired_by: Sequence[Part]) -> list[PairRow]:
    """Return the pairs: first those in which the verdict differs most, then by task."""
    a, b = (_by_key(side.cells, paired_by) for side in (pairing.a, pairing.b))
    keys = sorted(a.keys() & b.keys())
    sides = {key: (_side(a[key]), _side(b[key])) for key in keys}
    known = [each.tokens for both in sides.values() for each in both if each.tokens]
    most = max(known, default=1.0)
    names = pairing.a.name, pairing.b.name
    rows = [
        PairRow(key, *both, _better(*both, names), _chart(*both, most))
        for key, both in sides.items()
    ]
    return sorted(rows, key=lambda row: -abs(row.a.rate - row.b.rate))


def _by_key(
    cells: Sequence[PlacedCell], parts: Sequence[Part]
) -> dict[tuple[str, ...], list[PlacedCell]]:
    found: defaultdict[tuple[str, ...], list[PlacedCell]] = defaultdict(list)
    for cell in cells:
        if cell.seen.decided:
            found[tuple(part_of(cell.seen.cell, part) for part in parts)].append(cell)
    return found


def _side(cells: Sequence[PlacedCell]) -> PairSide:
    known = [cell.seen.total_tokens for cell in cells if cell.seen.total_tokens is not None]
    mean = sum(known) / len(known) if len(known) == len(cells) else None
    rate = sum(cell.kind == "passed" for cell in cells) / len(cells)
    return PairSide(cells, rate, mean, MarkedText(integer(mean), sum_mark(cells)))


def _better(a: PairSide, b: PairSide, names: tuple[str, str]) -> str:
    if a.rate == b.rate:
        return ""
    return names[0] if a.rate > b.rate else names[1]


def _chart(a: PairSide, b: PairSide, most: float) -> Markup:
    if a.tokens is None or b.tokens is None:
        return Markup("")
    # Less than 100: the dot of the largest mean has to have room at the end of the table.
    xs = [f"{97 * tokens / most:.2f}%" for tokens in (a.tokens, b.tokens)]
    content = Markup(
        '<line class="axis" x1="0" x2="100%" y1="9" y2="9"/>'
        '<line class="spread" x1="{0}" x2="{1}" y1="9" y2="9"/>'
        '<circle class="dot hollow" cx="{0}" cy="9" r="4"/><circle class="dot" cx="{1}" cy="9" r="4"/>'
    )
    return spark([content.format(*xs)])
