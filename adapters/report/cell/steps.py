"""What happened when: the spans and the model calls of a cell on one clock, for the replay."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from cab.adapters.output.places import evidence
from cab.adapters.report.cell.calls import PageCall
from cab.adapters.report.cell.facts import PageSpan, ReportCell
from cab.adapters.report.render.marks import MarkedText, measured
from cab.adapters.report.render.numbers import duration
from cab.adapters.report.render.visible import cut, visible

_MOST_CHARS = 600
"""Of one attribute of a span; the whole is in `cell.json`."""

CALL_KIND = "model_call"


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One span or call."""

    number: int
    """Its place in the order of time, from 0."""
    at_ms: float
    """Offset from the cell's start."""
    duration_ms: float
    kind: str
    name: str
    rows: list[tuple[str, str]]
    """What is known of it: name and value."""
    span: PageSpan | None
    call: PageCall | None

    @property
    def start(self) -> MarkedText:
        """When it began; a published page does not say."""
        known = self.call is not None or (self.span is not None and self.span.start_ms is not None)
        return measured(duration(self.at_ms) if known else None)

    @property
    def length(self) -> MarkedText:
        """How long it took."""
        return measured(duration(self.duration_ms))

    def as_data(self) -> dict[str, Any]:
        """Return what the script needs of it."""
        return {
            "at": round(self.at_ms, 3),
            "ms": round(self.duration_ms, 3),
            "kind": visible(self.kind),
            "name": visible(self.name),
            "rows": [[visible(name), visible(value)] for name, value in self.rows],
        }


def trace_steps(cell: ReportCell) -> list[TraceStep]:
    """Return the steps of a cell in the order of time, or in their own where no time is known.

    Each call gets the number of its step.
    """
    spans = [(span.start_ms or 0.0, span.duration_ms, span, None) for span in cell.spans]
    calls = [(max(0.0, call.at_ms), call.latency_ms or 0.0, None, call) for call in cell.calls]
    found = [*spans, *calls]
    if has_times(cell) or calls:
        # Of two that begin together the longer one is around the other.
        found.sort(key=lambda step: (step[0], -step[1]))
    return [_step(number, *step) for number, step in enumerate(found)]


def has_times(cell: ReportCell) -> bool:
    """Return whether it is known when things happened; a published page has durations only."""
    return any(span.start_ms is not None for span in cell.spans)


def end_ms(cell: ReportCell, steps: Sequence[TraceStep]) -> float:
    """Return where the clock of the replay ends."""
    latency = cell.axes.latency
    wall_ms = latency.wall_clock_ms if latency else 0.0
    return max([wall_ms, *(step.at_ms + step.duration_ms for step in steps)])


def _step(
    number: int, at_ms: float, length_ms: float, span: PageSpan | None, call: PageCall | None
) -> TraceStep:
    if call is not None:
        call.step = number
        name = f"#{call.seq} {call.endpoint}"
        return TraceStep(number, at_ms, length_ms, CALL_KIND, name, _of_call(call), None, call)
    assert span is not None
    rows = list(_of_span(span))
    return TraceStep(number, at_ms, length_ms, span.kind, span.name, rows, span, None)


def _of_call(call: PageCall) -> list[tuple[str, str]]:
    """Return what the table of calls does not hold; the script takes the rest from there."""
    return [("error", call.error)] if call.error else []


def _of_span(span: PageSpan) -> Iterator[tuple[str, str]]:
    yield "start", duration(span.start_ms) or "not recorded"
    yield "duration", duration(span.duration_ms) or "not recorded"
    yield from attr_rows(span)
    yield "span", span.span_id


def attr_rows(span: PageSpan) -> Iterator[tuple[str, str]]:
    """Yield the attributes of a span."""
    for name, value in span.attrs.items():
        if value not in (None, ""):
            text = as_text(evidence(value))
            yield name, cut(text, _MOST_CHARS)


def as_text(value: object) -> str:
    """Return a value as a text, other ones than texts as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
