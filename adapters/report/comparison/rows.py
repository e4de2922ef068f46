"""A comparison as a row: both means, the difference with its interval, what could have been seen."""

from typing import NamedTuple

from markupsafe import Markup

from cab.adapters.report.render.svg import spark
from cab.scoring.analysis.compare import Comparison, Metric
from cab.scoring.analysis.sentences import UNITS, reading


class ComparisonRow(NamedTuple):
    """One metric of A against B."""

    name: str
    mean_a: str
    mean_b: str
    difference: str
    value: float | None
    """The difference, to sort by."""
    interval: str
    p_holm: str
    detectable: str
    chart: Markup
    reason: str
    """Why nothing can be concluded; empty if something can."""


_REASONS = {"no_spread": "all pairs differ alike", "beyond_range": "none", None: "–"}


def comparison_row(found: Comparison, scale: float | None = None) -> ComparisonRow:
    """Return the row.

    Args:
        found: The comparison.
        scale: What the ends of the chart stand for; None for its own.
    """
    metric = found.metric
    low, high = (_read(metric, end) for end in (found.low, found.high))
    detectable = reading(metric, found.detectable, difference=True).removeprefix("+")
    return ComparisonRow(
        name=UNITS[metric].noun,
        mean_a=_read(metric, found.task_weighted_a, difference=False),
        mean_b=_read(metric, found.task_weighted_b, difference=False),
        difference=_read(metric, found.difference),
        value=found.difference,
        interval="–" if found.low is None else f"{low} to {high}",
        p_holm="–" if found.p_holm is None else f"{found.p_holm:.3f}",
        detectable=_REASONS[found.detectable_reason] if found.detectable is None else detectable,
        chart=_chart(found, scale or extent(found)),
        reason="" if found.difference is not None else _reason(found),
    )


def _reason(found: Comparison) -> str:
    """Return in a few words why there is no difference: a column of charts has no room for more."""
    if not found.pairs:
        return "no task in common"
    return "not recorded" if found.coverage == 0 else found.reason or "not known"


def _read(metric: Metric, value: float | None, *, difference: bool = True) -> str:
    return "–" if value is None else reading(metric, value, difference=difference)


def extent(found: Comparison) -> float:
    """Return how far from 0 the chart of a comparison has to reach; 0 if there is nothing to show."""
    ends = (found.difference, found.low, found.high, found.detectable)
    return max((abs(end) for end in ends if end is not None), default=0.0)


def _chart(found: Comparison, scale: float) -> Markup:
    if found.difference is None:
        return Markup("")
    reach = 1.06 * scale or 1.0

    def x(value: float) -> str:
        return f"{50 + 50 * max(-1.0, min(1.0, value / reach)):.2f}%"

    parts: list[Markup] = []
    if found.detectable is not None:
        band = Markup('<rect class="band" x="{}" width="{:.2f}%" y="0" height="20"/>')
        share = min(1.0, found.detectable / reach)
        parts.append(band.format(x(-found.detectable), 100 * share))
    parts.append(Markup('<line class="zero" x1="50%" x2="50%" y1="0" y2="20"/>'))
    if found.low is not None and found.high is not None:
        line = Markup('<line class="spread" x1="{}" x2="{}" y1="10" y2="10"/>')
        parts.append(line.format(x(found.low), x(found.high)))
    parts.append(Markup('<circle class="dot" cx="{}" cy="10" r="4"/>').format(x(found.difference)))
    return spark(parts, 20)
