"""What agents say they used, against what the meter counted."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup

from cab.adapters.report.placed import PlacedCell
from cab.adapters.report.render.environment import html
from cab.adapters.report.render.marks import MarkedText
from cab.adapters.report.render.numbers import SPACE, integer
from cab.adapters.report.render.svg import spark
from cab.scoring.analysis.reconcile import CounterError, reconcile, reconcile_cell

_LEAST, _MOST = -1.0, 0.5
"""Ends of the chart; an agent that counts twice too much is at its right end."""
_ALARM = 0.05


class SelfCountRow(NamedTuple):
    """An agent's own counter."""

    tui: str
    compared: str
    equal: int | None
    reported: MarkedText
    measured: MarkedText
    error: str | None
    is_far_off: bool
    chart: Markup


def self_counts(cells: Sequence[PlacedCell]) -> list[SelfCountRow]:
    """Return a row per agent, of the cells whose tokens the endpoint reported."""
    metered = [cell for cell in cells if cell.token_mark == "measured"]
    found = {each.key["tui"]: each for each in reconcile(c.seen for c in metered)}
    rows: list[SelfCountRow] = []
    for tui in sorted({cell.tui for cell in cells}):
        own = [cell for cell in metered if cell.tui == tui]
        all_cells = sum(cell.tui == tui for cell in cells)
        counter = found[tui].counts["total_tokens"] if tui in found else None
        rows.append(_row(tui, own, all_cells, counter))
    return rows


def _row(
    tui: str, cells: Sequence[PlacedCell], of: int, counter: CounterError | None
) -> SelfCountRow:
    if counter is None or not counter.compared:
        nothing = MarkedText(None, missing="–")
        return SelfCountRow(tui, f"0 of {of}", None, nothing, nothing, None, False, Markup(""))
    off = counter.relative_error
    return SelfCountRow(
        tui,
        f"{counter.compared} of {of}",
        counter.equal,
        MarkedText(integer(counter.reported), "self-reported"),
        MarkedText(integer(counter.measured)),
        None if off is None else f"{100 * off:+.1f}{SPACE}%",
        off is not None and abs(off) > _ALARM,
        _chart(cells),
    )


def _x(error: float) -> str:
    share = (min(max(error, _LEAST), _MOST) - _LEAST) / (_MOST - _LEAST)
    return f"{100 * share:.1f}%"


def _chart(cells: Sequence[PlacedCell]) -> Markup:
    zero = Markup('<line class="zero" x1="{0}" x2="{0}" y1="0" y2="18"/>').format(_x(0))
    base = Markup('<line class="axis" x1="0" x2="100%" y1="9" y2="9"/>')
    return spark([base, zero, *_dots(cells)])


def _dots(cells: Sequence[PlacedCell]) -> Iterator[Markup]:
    dot = Markup('<circle class="dot" cx="{}" cy="9" r="3"><title>{}</title></circle>')
    for cell in cells:
        error = reconcile_cell(cell.seen).counts["total_tokens"].relative_error
        if error is not None:
            yield dot.format(_x(error), html(f"{cell.run_words}, {error:+.1%}"))
