"""Histograms of calls under the names of OpenTelemetry's GenAI conventions, since this process started."""

from bisect import bisect_left
from collections.abc import Callable
from typing import Any, NamedTuple

from cab.scoring.exports.otel import metric_attributes
from cab.scoring.exports.otlp import CUMULATIVE, key_values
from cab.scoring.ledger.call_stats import failure_class, has_succeeded
from cab.scoring.ledger.records import CallEnd


class _Kind(NamedTuple):
    unit: str
    text: str
    bounds: tuple[float, ...]


_TOKENS, _DURATION = "gen_ai.client.token.usage", "gen_ai.client.operation.duration"
# The bounds are those of the conventions, so that histograms of others can be added.
_KINDS = {
    _TOKENS: _Kind(
        "{token}", "Tokens of a call, by type.", tuple(float(4**power) for power in range(14))
    ),
    _DURATION: _Kind("s", "How long a call took.", tuple(0.01 * 2**power for power in range(14))),
}


class _Values:
    """How many values lie in which bucket."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class CallHistograms:
    """Adds calls up.

    Args:
        model_label: Gives the name that a model has here: there must be few.
        started_ns: Since when, in nanoseconds since the Unix epoch.
    """

    def __init__(self, model_label: Callable[[str | None], str], started_ns: int) -> None:
        self._model_label = model_label
        self._started_ns = started_ns
        self._found: dict[tuple[str, tuple[tuple[str, str], ...]], _Values] = {}

    def add(self, end: CallEnd) -> None:
        """Add a call; what is not known of it is no value."""
        labels = metric_attributes(end) | {
            "gen_ai.request.model": self._model_label(end.model_requested)
        }
        for kind, tokens in (("input", end.prompt_tokens), ("output", end.completion_tokens)):
            if tokens is not None:
                self._add(_TOKENS, {**labels, "gen_ai.token.type": kind}, tokens)
        if end.latency_ms is not None:
            # Of few values, while a span has the endpoint's own name of its error.
            failed = {} if has_succeeded(end) else {"error.type": failure_class(end)}
            self._add(_DURATION, {**labels, **failed}, end.latency_ms / 1000)

    def _add(self, name: str, labels: dict[str, str], value: float) -> None:
        key = name, tuple(labels.items())
        values = self._found.get(key)
        if values is None:
            values = self._found[key] = _Values(_KINDS[name].bounds)
        values.add(value)

    def collected(self, now_ns: int) -> list[dict[str, Any]]:
        """Return the metrics in the form of OTLP as JSON; those without a value are left out."""
        times = {"startTimeUnixNano": str(self._started_ns), "timeUnixNano": str(now_ns)}
        found: list[dict[str, Any]] = []
        for name, kind in _KINDS.items():
            points = [
                {**times, **_point(values), "attributes": key_values(dict(labels))}
                for (of, labels), values in self._found.items()
                if of == name
            ]
            data = {"dataPoints": points, "aggregationTemporality": CUMULATIVE}
            if points:
                head = {"name": name, "description": kind.text, "unit": kind.unit}
                found.append({**head, "histogram": data})
        return found


def _point(values: _Values) -> dict[str, Any]:
    return {
        "count": str(sum(values.counts)),
        "sum": values.sum,
        "bucketCounts": [str(count) for count in values.counts],
        "explicitBounds": list(values.bounds),
    }
