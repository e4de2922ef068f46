"""Tokens of every cell, task by task: a mean would hide the long runs."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup

from cab.adapters.report.overview.charts import LogAxis
from cab.adapters.report.placed import PlacedCell
from cab.adapters.report.render.badge import shortened
from cab.adapters.report.render.environment import html
from cab.adapters.report.render.numbers import compact, integer
from cab.adapters.report.render.svg import svg

_MOST_CHARTS = 24
_ROW_PX = 17
_NAME_PX = 102
"""Room for an agent's name before a chart, as the style sheet has it."""
_QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


class TaskSpread(NamedTuple):
    """One task's cells on the scale that all tasks share."""

    task: str
    chart: Markup


class SpreadRow(NamedTuple):
    """Quantiles of the tokens of an agent's cells on a task."""

    task: str
    tui: str
    cells: int
    known: int
    quantiles: Sequence[str | None]
    """Least, lower quartile, median, upper quartile, most."""


class Spread(NamedTuple):
    """All tasks."""

    charts: Sequence[TaskSpread]
    rows: Sequence[SpreadRow]
    left_out: int
    """Tasks that have no chart, because they are too many; the table has them."""


def spread(cells: Sequence[PlacedCell]) -> Spread:
    """Return charts and table; of many tasks those whose tokens differ most have a chart."""
    tasks: defaultdict[str, list[PlacedCell]] = defaultdict(list)
    for cell in cells:
        tasks[cell.task].append(cell)
    known = [tokens for cell in cells if (tokens := cell.seen.total_tokens)]
    if not known:
        return Spread([], [], 0)
    axis = LogAxis(known)
    widest = sorted(tasks, key=lambda task: -_width(tasks[task]))[:_MOST_CHARTS]
    charts = [TaskSpread(task, _chart(tasks[task], axis)) for task in sorted(widest)]
    rows = [row for task in sorted(tasks) for row in _rows(task, tasks[task])]
    return Spread(charts, rows, len(tasks) - len(charts))


def _width(cells: Sequence[PlacedCell]) -> float:
    known = [cell.seen.total_tokens for cell in cells if cell.seen.total_tokens]
    return max(known) / min(known) if known else 0.0


def _by_tui(cells: Sequence[PlacedCell]) -> list[tuple[str, list[PlacedCell]]]:
    found: defaultdict[str, list[PlacedCell]] = defaultdict(list)
    for cell in cells:
        found[cell.tui].append(cell)
    return sorted(found.items())


def _rows(task: str, cells: Sequence[PlacedCell]) -> Iterator[SpreadRow]:
    for tui, own in _by_tui(cells):
        known = sorted(c.seen.total_tokens for c in own if c.seen.total_tokens is not None)
        texts = [integer(_quantile(known, share)) for share in _QUARTERS] if known else [None] * 5
        yield SpreadRow(task, tui, len(own), len(known), texts)


def _quantile(ordered: Sequence[int], share: float) -> float:
    """Return a quantile between neighbours: method 7 of Hyndman and Fan 1996."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def _chart(cells: Sequence[PlacedCell], axis: LogAxis) -> Markup:
    agents = _by_tui(cells)
    height = _ROW_PX * len(agents)
    parts = [
        Markup('<line class="axis" x1="{0}" x2="{0}" y1="0" y2="{1}"/><text class="mid" x="{0}" y="{2}">{3}</text>')
        .format(axis.x(value), height, height + 13, compact(value))
        for value in axis.ticks(2)
    ]  # fmt: skip
    for number, (tui, own) in enumerate(agents):
        y = _ROW_PX * number + _ROW_PX // 2
        parts.append(
            Markup('<text class="to" x="0" dx="-8" y="{}">{}<title>{}</title></text>').format(
                y + 4, shortened(html(tui), _NAME_PX), html(tui)
            )
        )
        parts += _dots(own, axis, y)
    return svg(
        Markup("").join(parts),
        classes="strip",
        height=height + 18,
        label="Tokens of each cell, by agent; the table below holds the same figures",
    )


def _dots(cells: Sequence[PlacedCell], axis: LogAxis, y: int) -> Iterator[Markup]:
    known = sorted(c.seen.total_tokens for c in cells if c.seen.total_tokens)
    if len(known) > 1:
        middle = axis.x(_quantile(known, 0.5))
        line = Markup('<line class="median" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>')
        yield line.format(middle, y - 6, y + 6)
    dot = Markup('<circle class="{}" cx="{}" cy="{}" r="3.5"><title>{}</title></circle>')
    for cell in cells:
        if cell.seen.total_tokens:
            title = f"{cell.run_words}, {integer(cell.seen.total_tokens)} tokens"
            classes = "dot" if cell.kind == "passed" else "dot bad"
            yield dot.format(classes, axis.x(cell.seen.total_tokens), y, html(title))
