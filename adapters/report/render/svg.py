"""Parts of charts: x in per cent of the width, y in pixels, so that text never scales.

No `viewBox` and no script: a chart is as wide as its place, at any width.
"""

from collections.abc import Iterable
from math import floor, log10

from markupsafe import Markup

from cab.adapters.report.render.environment import html
from cab.adapters.report.render.numbers import SPACE

_LEAST_WIDTH = 0.2
"""Of a bar, in per cent: shorter ones would not be seen."""


class TimeAxis:
    """Places on a horizontal axis of time.

    Args:
        end_ms: What its right end is.
    """

    def __init__(self, end_ms: float) -> None:
        self._end_ms = end_ms or 1.0

    def percent(self, at_ms: float) -> float:
        """Return a place from 0 to 100."""
        return max(0.0, min(100.0, 100 * at_ms / self._end_ms))

    def x(self, at_ms: float) -> str:
        """Return a place, in per cent."""
        return f"{self.percent(at_ms):.3f}%"

    def width(self, length_ms: float, least: float = _LEAST_WIDTH) -> str:
        """Return a length, in per cent."""
        return f"{max(self.percent(length_ms), least):.3f}%"

    def is_late(self, at_ms: float) -> bool:
        """Return whether a text that begins there would leave the chart."""
        return self.percent(at_ms) > 60

    def ticks(self) -> list[tuple[float, str]]:
        """Return round times on the axis, each with its text."""
        step_ms = _round_step(self._end_ms / 6)
        count = int(self._end_ms / step_ms + 1e-9)
        return [(step_ms * n, _tick_text(step_ms * n, step_ms)) for n in range(count + 1)]

    def grid(self, height: float) -> Markup:
        """Return the lines of the ticks and the texts below them."""
        parts = [
            Markup(
                '<line class="grid" x1="{0}" x2="{0}" y1="0" y2="{1}"/>'
                '<text class="{2}" x="{0}" y="{3}">{4}</text>'
            ).format(self.x(at_ms), f"{height:g}", self._anchor(at_ms), f"{height + 14:g}", text)
            for at_ms, text in self.ticks()
        ]
        return Markup("").join(parts)

    def _anchor(self, at_ms: float) -> str:
        percent = self.percent(at_ms)
        return "from" if percent < 3 else "to" if percent > 97 else "mid"


def _round_step(raw_ms: float) -> float:
    base = 10.0 ** floor(log10(raw_ms)) if raw_ms > 0 else 1.0
    return next(factor * base for factor in (1, 2, 5, 10) if factor * base >= raw_ms * 0.999)


def _tick_text(at_ms: float, step_ms: float) -> str:
    in_seconds = step_ms >= 100 or at_ms >= 10_000
    return f"{at_ms / 1000:g}{SPACE}s" if in_seconds else f"{at_ms:g}{SPACE}ms"


def svg(content: Markup, *, classes: str, height: float, label: str, id_: str = "") -> Markup:
    """Return a chart; its label says what it shows and where the same figures are a table."""
    identity = Markup(' id="{}"').format(id_) if id_ else Markup("")
    return Markup(
        '<svg{} class="{}" width="100%" height="{}" role="img" aria-label="{}">{}</svg>'
    ).format(identity, classes, f"{height:g}", html(label), content)


def spark(parts: Iterable[Markup], height: int = 18) -> Markup:
    """Return a chart of one row of a table, whose other fields hold the same figures."""
    return Markup('<svg class="spark" width="100%" height="{}" aria-hidden="true">{}</svg>').format(
        height, Markup("").join(parts)
    )
