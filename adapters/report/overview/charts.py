"""Charts of groups and cells: intervals, points on a logarithmic axis. Percent across, pixels down."""

from collections.abc import Sequence
from math import floor, log10
from typing import NamedTuple

from markupsafe import Markup

from cab.adapters.report.render.environment import html
from cab.adapters.report.render.numbers import compact
from cab.adapters.report.render.svg import spark, svg


class LogAxis:
    """Places on a horizontal logarithmic axis.

    Args:
        values: All that has to have a place; all above 0.
    """

    def __init__(self, values: Sequence[float]) -> None:
        least, most = min(values), max(values)
        margin = max((most / least) ** 0.06, 1.15)
        self._low, self._high = log10(least / margin), log10(most * margin)

    def percent(self, value: float) -> float:
        """Return a place from 0 to 100; what lies beyond an end is at the end."""
        share = (log10(value) - self._low) / (self._high - self._low) if value > 0 else 0.0
        return 100 * min(max(share, 0.0), 1.0)

    def x(self, value: float) -> str:
        """Return a place, in per cent."""
        return f"{self.percent(value):.2f}%"

    def ticks(self, least: int = 3) -> list[float]:
        """Return round values on the axis: not fewer than asked for, and not many more."""
        decades = range(floor(self._low), floor(self._high) + 1)
        for steps in (
            (1,),
            (1, 3),
            (1, 2, 5),
            (1, 1.5, 2, 3, 5, 7),
            tuple(n / 10 for n in range(10, 100)),
            tuple(n / 100 for n in range(100, 1000)),
        ):
            found = [step * 10.0**decade for decade in decades for step in steps]
            inside = [value for value in found if self._low <= log10(value) <= self._high]
            if len(inside) >= least:
                return inside[:: max(1, len(inside) // (2 * least))]
        return []


def share_interval(value: float | None, low: float | None, high: float | None) -> Markup:
    """Return a share with its interval on an axis from 0 to 100 %; nothing if it is unknown."""
    if value is None:
        return Markup("")
    parts = [Markup('<line class="axis" x1="0" x2="100%" y1="9" y2="9"/>')]
    if low is not None and high is not None:
        line = Markup('<line class="spread" x1="{:.1f}%" x2="{:.1f}%" y1="9" y2="9"/>')
        parts.append(line.format(100 * low, 100 * high))
    parts.append(Markup('<circle class="dot" cx="{:.1f}%" cy="9" r="3.5"/>').format(100 * value))
    return spark(parts)


class PlotPoint(NamedTuple):
    """A group in a plot of pass rate against what a solved task takes."""

    name: str
    value: float
    """Across, above 0."""
    low: float | None
    high: float | None
    rate: float
    """Upward, from 0 to 1."""
    rate_low: float | None
    rate_high: float | None
    on_front: bool


_TOP, _HEIGHT = 22.0, 240.0
_CHAR_PERCENT, _LINE_PX = 1.05, 13.0
"""Size of a label's character, of a plot that is 640 px wide: labels are placed for such a one."""


def front_plot(points: Sequence[PlotPoint], unit: str, tick_prefix: str, label: str) -> Markup:
    """Return a plot of pass rate, in per cent, against tokens or money per solved task.

    Args:
        points: One or more.
        unit: Title of the axis across.
        tick_prefix: What stands before its values, such as `$`.
        label: What the plot shows, for those who do not see it.
    """
    ends = [end for point in points for end in (point.value, point.low, point.high) if end]
    axis = LogAxis(ends)
    parts = [_grid(axis, unit, tick_prefix), _front(points, axis)]
    parts += [_spreads(point, axis) for point in points if point.on_front]
    parts += [_dot(point, axis) for point in points]
    parts += _labels(points, axis)
    return svg(Markup("").join(parts), classes="plot", height=_TOP + _HEIGHT + 36, label=label)


def _y(rate: float) -> float:
    return _TOP + (1 - rate) * _HEIGHT


def _grid(axis: LogAxis, unit: str, tick_prefix: str) -> Markup:
    across = Markup(
        '<line class="axis" x1="0" x2="100%" y1="{0:g}" y2="{0:g}"/>'
        '<text class="to" x="0" dx="-8" y="{1:g}">{2} %</text>'
    )
    down = Markup(
        '<line class="axis" x1="{0}" x2="{0}" y1="{1:g}" y2="{2:g}"/>'
        '<text class="mid" x="{0}" y="{3:g}">{4}</text>'
    )
    bottom = _y(0)
    parts = [across.format(_y(rate / 100), _y(rate / 100) + 4, rate) for rate in range(0, 101, 25)]
    for value in axis.ticks():
        text = f"{tick_prefix}{compact(value)}"
        parts.append(down.format(axis.x(value), _TOP, bottom, bottom + 16, text))
    title = Markup('<text class="to" x="100%" y="{:g}">{}</text>').format(bottom + 32, unit)
    return Markup("").join([*parts, title])


def _front(points: Sequence[PlotPoint], axis: LogAxis) -> Markup:
    """Return the front as steps: between two of its points there is nothing."""
    front = sorted((p.value, p.rate) for p in points if p.on_front)
    line = Markup('<line class="front" x1="{}" y1="{:g}" x2="{}" y2="{:g}"/>')
    parts: list[Markup] = []
    before: tuple[float, float] | None = None
    for value, rate in front:
        if before is not None:
            parts.append(
                line.format(axis.x(before[0]), _y(before[1]), axis.x(value), _y(before[1]))
            )
            parts.append(line.format(axis.x(value), _y(before[1]), axis.x(value), _y(rate)))
        before = value, rate
    if before is not None:
        parts.append(line.format(axis.x(before[0]), _y(before[1]), "100%", _y(before[1])))
    return Markup("").join(parts)


def _spreads(point: PlotPoint, axis: LogAxis) -> Markup:
    line = Markup('<line class="spread" x1="{}" x2="{}" y1="{:g}" y2="{:g}"/>')
    parts: list[Markup] = []
    if point.low and point.high:
        y = _y(point.rate)
        parts.append(line.format(axis.x(point.low), axis.x(point.high), y, y))
    if point.rate_low is not None and point.rate_high is not None:
        x = axis.x(point.value)
        parts.append(line.format(x, x, _y(point.rate_low), _y(point.rate_high)))
    return Markup("").join(parts)


def _dot(point: PlotPoint, axis: LogAxis) -> Markup:
    dot = Markup('<circle class="{}" cx="{}" cy="{:g}" r="4.5"><title>{}</title></circle>')
    classes = "dot" if point.on_front else "dot other"
    return dot.format(classes, axis.x(point.value), _y(point.rate), html(point.name))


class _Box(NamedTuple):
    left: float
    right: float
    top: float
    bottom: float

    def meets(self, other: "_Box") -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


def _lines(points: Sequence[PlotPoint], axis: LogAxis) -> list[_Box]:
    """Return where the front and its intervals are, so that no name is written over them."""
    boxes: list[_Box] = []
    front = sorted((axis.percent(p.value), _y(p.rate), p) for p in points if p.on_front)
    for n, (x, y, point) in enumerate(front):
        until = front[n + 1][0] if n + 1 < len(front) else 100.0
        left = axis.percent(point.low) if point.low else x
        boxes.append(_Box(left, until, y - 1, y + 1))
        if point.rate_low is not None and point.rate_high is not None:
            boxes.append(_Box(x - 0.2, x + 0.2, _y(point.rate_high), _y(point.rate_low)))
    return boxes


def _labels(points: Sequence[PlotPoint], axis: LogAxis) -> list[Markup]:
    """Return the names of the points that have room for one; those of the front come first."""
    places = [(axis.percent(p.value), _y(p.rate)) for p in points]
    taken = [_Box(x - 0.9, x + 0.9, y - 5, y + 5) for x, y in places]
    taken += _lines(points, axis)
    labels: list[Markup] = []
    text = Markup('<text class="{}" x="{:.2f}%" dx="{}" y="{:g}">{}</text>')
    order = sorted(range(len(points)), key=lambda n: not points[n].on_front)
    for n in order:
        (x, y), point = places[n], points[n]
        width = len(point.name) * _CHAR_PERCENT
        for anchor, dx, y_text, left in (
            ("from", 8, y + 4, x + 1),
            ("to", -8, y + 4, x - 1 - width),
            ("from", 8, y - 7, x + 1),
            ("to", -8, y - 7, x - 1 - width),
            ("from", 8, y + 15, x + 1),
            ("to", -8, y + 15, x - 1 - width),
        ):
            box = _Box(left, left + width, y_text - _LINE_PX + 3, y_text + 3)
            if left < 0 or left + width > 101 or any(map(box.meets, taken)):
                continue
            taken.append(box)
            classes = f"name {anchor}{'' if point.on_front else ' other'}"
            labels.append(text.format(classes, x, dx, y_text, html(point.name)))
            break
    return labels
