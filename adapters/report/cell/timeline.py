"""The timeline of a cell as SVG: model calls above, in lanes where they overlap, spans below."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup

from cab.adapters.report.cell.calls import PageCall
from cab.adapters.report.cell.steps import TraceStep
from cab.adapters.report.render.environment import html
from cab.adapters.report.render.numbers import duration
from cab.adapters.report.render.svg import TimeAxis, svg

_MANY_CALLS = 40
"""From so many on, lanes are thin and calls have no numbers."""

_DIGIT_PERCENT = 1.0
"""Width of a digit, of a timeline that is 640 px wide."""

_LABEL = "Timeline of model calls and spans; the tables of this page hold the same figures"


class CallBar(NamedTuple):
    """A call in its lane."""

    step: TraceStep
    call: PageCall
    lane: int


class _Lanes(NamedTuple):
    top: int
    height: int
    bar: int

    def y(self, lane: int) -> int:
        return self.top + lane * self.height


def in_lanes(steps: Sequence[TraceStep]) -> list[CallBar]:
    """Return the calls, each in the first lane in which it overlaps no other one."""
    ends: list[float] = []
    bars: list[CallBar] = []
    for step in steps:
        if step.call is None:
            continue
        lane = next((n for n, end in enumerate(ends) if step.at_ms >= end), len(ends))
        ends[lane : lane + 1] = [step.at_ms + step.duration_ms]
        bars.append(CallBar(step, step.call, lane))
    return bars


def timeline(steps: Sequence[TraceStep], end_ms: float) -> Markup:
    """Return the chart.

    Args:
        steps: Spans and calls in the order of time.
        end_ms: Its right end.
    """
    axis, bars = TimeAxis(end_ms), in_lanes(steps)
    few = len(bars) <= _MANY_CALLS
    lanes = _Lanes(30, 20, 14) if few else _Lanes(18, 10, 8)
    depth = 1 + max((bar.lane for bar in bars), default=0)
    parts = [Markup('<text class="ink" x="0" dx="4" y="11">model calls</text>')]
    parts += _retries(bars, axis, lanes)
    for bar in bars:
        parts += _call(bar, axis, lanes)
    parts += _numbers(bars, axis, lanes) if few else ()
    y = lanes.y(depth) + 8
    for step in steps:
        if step.span is not None:
            parts.append(_span(step, axis, y))
            y += 25
    head = Markup('<line id="playhead" x1="0" x2="0" y1="0" y2="{}"/>').format(y)
    content = axis.grid(y) + Markup("").join(parts) + head
    return svg(content, classes="timeline", height=y + 20, label=_LABEL, id_="timeline")


def _call(bar: CallBar, axis: TimeAxis, lanes: _Lanes) -> Iterator[Markup]:
    call, step, y = bar.call, bar.step, lanes.y(bar.lane)
    shape = Markup(
        '<rect class="{}" data-step="{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>'
    )
    fill = "f-model" if call.ok else "f-failed"
    x, width = axis.x(step.at_ms), axis.width(step.duration_ms)
    yield shape.format(fill, step.number, x, y, width, lanes.bar, html(_title(call)))
    if call.ok and call.ttft_ms:
        waited = axis.width(min(call.ttft_ms, step.duration_ms), 0)
        wait = Markup('<rect class="f-wait" data-step="{}" x="{}" y="{}" width="{}" height="{}"/>')
        yield wait.format(step.number, x, y, waited, lanes.bar)


def _numbers(bars: Sequence[CallBar], axis: TimeAxis, lanes: _Lanes) -> Iterator[Markup]:
    """Yield the numbers of the calls of the first lane, where each has room beside the one before."""
    text = Markup('<text class="number{}" x="{}" y="{}">{}</text>')
    free_from = 0.0
    for bar in bars:
        at, name = axis.percent(bar.step.at_ms), str(bar.call.seq)
        if bar.lane == 0 and at >= free_from:
            kind = "" if bar.call.ok else " failed"
            yield text.format(kind, axis.x(bar.step.at_ms), lanes.y(0) - 3, name)
            free_from = at + _DIGIT_PERCENT * (len(name) + 1)


def _title(call: PageCall) -> str:
    took = f"call {call.seq}: {duration(call.latency_ms) or 'an unknown time'}"
    if not call.ok:
        return f"{took}, {call.finish}"
    return f"{took}, first token after {duration(call.ttft_ms) or 'an unknown time'}"


def _retries(bars: Sequence[CallBar], axis: TimeAxis, lanes: _Lanes) -> Iterator[Markup]:
    """Yield a dashed line from each attempt to the next one of the same call."""
    last: dict[str, CallBar] = {}
    for bar in bars:
        before = last.get(bar.call.first_call)
        if before is not None:
            yield Markup('<line class="retry" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
                axis.x(before.step.at_ms + before.step.duration_ms),
                lanes.y(before.lane) + lanes.bar // 2,
                axis.x(bar.step.at_ms),
                lanes.y(bar.lane) + lanes.bar // 2,
            )
        last[bar.call.first_call] = bar


def _span(step: TraceStep, axis: TimeAxis, y: int) -> Markup:
    late = axis.is_late(step.at_ms)
    return Markup(
        '<rect class="f-span" data-step="{}" x="{}" y="{}" width="{}" height="6"/>'
        '<text class="{}" x="{}" dx="{}" y="{}">{}, {}</text>'
    ).format(
        step.number,
        axis.x(step.at_ms),
        y + 14,
        axis.width(step.duration_ms),
        "to" if late else "from",
        "100%" if late else axis.x(step.at_ms),
        -3 if late else 4,
        y + 10,
        html(step.name),
        duration(step.duration_ms),
    )
