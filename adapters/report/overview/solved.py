"""What a solved task takes, in tokens and in money, against how many tasks are solved."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from cab.adapters.report.overview.charts import PlotPoint, front_plot
from cab.adapters.report.overview.groups import GroupRow, why
from cab.adapters.report.render.numbers import integer, percent
from cab.scoring.analysis.aggregate import OnFront
from cab.scoring.analysis.estimates import Figure
from cab.scoring.ledger.money import dollars

_Taken = tuple[GroupRow, Figure, OnFront]
"""A group, what a solved task takes, and whether it is on the front."""


class BeyondScale(NamedTuple):
    """A group that has no place on the scale."""

    name: str
    rate: str | None
    reason: str


class SolvedPlot(NamedTuple):
    """A plot, and what it cannot show."""

    chart: Markup
    """Empty if no group has a place on the scale."""
    beyond: Sequence[BeyondScale]
    front: Sequence[str]
    """Groups on the front, from the cheapest on, each with its figures."""


def token_plot(rows: Sequence[GroupRow]) -> SolvedPlot:
    """Return the plot in tokens."""
    found: list[_Taken] = [
        (row, row.found.tokens_per_correct, row.found.on_token_front) for row in rows
    ]
    return _plot(found, "tokens per solved task", "", integer)


def cost_plot(rows: Sequence[GroupRow]) -> SolvedPlot:
    """Return the plot in US dollars."""
    found: list[_Taken] = [
        (row, row.found.cost_usd_per_pass, row.found.on_cost_front) for row in rows
    ]
    return _plot(found, "$ per solved task", "$", dollars)


def _plot(
    groups: Sequence[_Taken],
    unit: str,
    tick_prefix: str,
    text: Callable[[float | None], str | None],
) -> SolvedPlot:
    points: list[PlotPoint] = []
    beyond: list[BeyondScale] = []
    front: list[tuple[float, str]] = []
    for row, taken, place in groups:
        rate = row.found.pass_rate
        if place == "front" and taken.value is not None:
            figures = f"{row.name} ({percent(rate.value)}, {text(taken.value)})"
            front.append((taken.value, figures))
        if rate.value is None or not taken.value:
            free = "nothing: a logarithmic scale has no 0"
            reason = free if taken.value == 0 else why(taken if rate.value is not None else rate)
            beyond.append(BeyondScale(row.name, percent(rate.value), reason))
            continue
        points.append(
            PlotPoint(
                row.name,
                *(taken.value, taken.low, taken.high),
                *(rate.value, rate.low, rate.high),
                on_front=place == "front",
            )
        )
    label = f"Pass rate against {unit}; the table above holds the same figures"
    chart = front_plot(points, unit, tick_prefix, label) if points else Markup("")
    return SolvedPlot(chart, beyond, [name for _, name in sorted(front)])
