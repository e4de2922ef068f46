"""Axis `latency`: wall clock, the agent's container, and the model calls within it."""

from collections.abc import Iterable

from cab.scoring.evidence.spans import Span
from cab.scoring.files import FileModel
from cab.scoring.ledger.call_sums import CallSums
from cab.scoring.ledger.records import Milliseconds


class Latency(FileModel):
    """The published keys, and the busy time of overlapping calls."""

    wall_clock_ms: Milliseconds
    """The whole cell."""
    container_active_ms: Milliseconds | None
    """Sum of the spans in which the agent itself ran; None if there was none."""
    model_call_ms: Milliseconds | None
    """Sum of the latencies of all attempts; None if one is not known, or if the cell was not metered."""
    model_call_busy_ms: Milliseconds | None = None
    """Time in which at least one attempt was under way: overlaps count once."""
    known_model_call_ms: Milliseconds | None = None
    """Sum of the latencies that are known."""


def score_latency(wall_clock_ms: float, spans: Iterable[Span], calls: CallSums | None) -> Latency:
    """Return the axis.

    Args:
        wall_clock_ms: Duration of the cell.
        spans: The cell's spans.
        calls: Sums over the cell's ledger slice; of a cell that was not metered no model time is known.
    """
    containers = [span.duration_ms for span in spans if span.kind == "container"]
    return Latency(
        wall_clock_ms=wall_clock_ms,
        container_active_ms=sum(containers) if containers else None,
        model_call_ms=calls.latency_ms.value if calls else None,
        model_call_busy_ms=calls.busy_ms if calls else None,
        known_model_call_ms=calls.latency_ms.known if calls else None,
    )
