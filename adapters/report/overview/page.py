"""The page of the overview."""

from collections.abc import Sequence
from typing import NamedTuple

from cab.adapters.report.overview.groups import group_table
from cab.adapters.report.overview.matrix import matrix
from cab.adapters.report.overview.self_counts import self_counts
from cab.adapters.report.overview.solved import cost_plot, token_plot
from cab.adapters.report.overview.spread import spread
from cab.adapters.report.placed import PlacedCell, values_of
from cab.adapters.report.render.environment import render
from cab.adapters.report.render.frame import PageFrame
from cab.scoring.analysis.aggregate import Part
from cab.scoring.printable import counted

TEMPLATE = "overview.html.j2"
FILE = "index.html"

_NOUNS: tuple[tuple[Part, str], ...] = (("tui", "agent"), ("model", "model"), ("task", "task"))


class OverviewHead(NamedTuple):
    """What a site holds, in sentences."""

    title: str
    sub: str
    cells: int
    decided: int
    passed: int
    uncounted: int
    calls: int
    calls_known: int
    """Cells whose number of calls is known."""
    measured: int
    """Cells with tokens that the endpoint reported."""
    estimated: int
    unknown: int
    left_out: int
    """Cells whose ids have no parts: they are in the list of cells alone."""


def overview_page(cells: Sequence[PlacedCell], left_out: int = 0) -> str:
    """Return the page of all cells of a site.

    Args:
        cells: Those that have a place.
        left_out: How many have none.
    """
    groups = group_table(cells)
    return render(
        TEMPLATE,
        frame=PageFrame(root=""),
        page_file=FILE,
        title="Overview",
        head=_head(cells, left_out),
        matrix=matrix(cells),
        groups=groups,
        tokens=token_plot(groups.rows),
        cost=cost_plot(groups.rows),
        spread=spread(cells),
        self_counts=self_counts(cells),
    )


def _head(cells: Sequence[PlacedCell], left_out: int) -> OverviewHead:
    sweeps = values_of(cells, "sweep")
    calls = [cell.seen.model_calls for cell in cells if cell.seen.model_calls is not None]
    marks = [cell.token_mark for cell in cells]
    sub = ", ".join(counted(len(values_of(cells, part)), noun) for part, noun in _NOUNS)
    decided = [cell for cell in cells if cell.kind != "uncounted"]
    return OverviewHead(
        title=f"Sweep {sweeps[0]}" if len(sweeps) == 1 else counted(len(sweeps), "sweep"),
        sub=sub,
        cells=len(cells),
        decided=len(decided),
        passed=sum(cell.kind == "passed" for cell in cells),
        uncounted=len(cells) - len(decided),
        calls=sum(calls),
        calls_known=len(calls),
        measured=marks.count("measured"),
        estimated=marks.count("estimated"),
        unknown=len(cells) - marks.count("measured") - marks.count("estimated"),
        left_out=left_out,
    )
