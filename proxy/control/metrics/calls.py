"""What calls come to, from their END records: the same sums as of the ledger, by endpoint and model."""

from collections.abc import Iterable, Mapping
from typing import Any

from cab.proxy.control.metrics.labels import OTHER, ModelLabels
from cab.proxy.control.metrics.samples import Histogram, Samples
from cab.proxy.logs import RedactingLogger
from cab.scoring.ledger.records import METERED_ENDPOINTS
from cab.scoring.ledger.totals import CallTotals

_MOST_CLASSES = 64
_NOBODY = "unknown"
_KINDS = ("prompt", "completion", "cache_read", "cache_write", "reasoning")
_STATUS_CLASSES = {401: "credentials", 403: "credentials", 429: "rate_limited"}

FROM_RECORDS = frozenset(
    {
        *("cab_calls_total", "cab_call_errors_total", "cab_attempts_total", "cab_tokens_total"),
        *("cab_uncounted_calls_total", "cab_cost_usd_total", "cab_unpriced_calls_total"),
        *("cab_time_to_first_token_seconds", "cab_call_duration_seconds", "cab_calls_in_flight"),
        *("cab_other_requests_total", "cab_overhead_seconds", "cab_queue_seconds"),
    }
)
"""Metrics that the records of calls give, so that whoever reads the ledger can count them again."""

log = RedactingLogger()


class _Group:
    """The calls for one endpoint and one model.

    Args:
        upstream: Host and port of the endpoint.
        model: Label of the model.
    """

    __slots__ = ("by_source", "duration", "errors", "labels", "outcomes", "ttft")

    def __init__(self, upstream: str, model: str) -> None:
        self.labels = upstream, model
        self.outcomes: dict[str, int] = {}
        self.errors: dict[str, int] = {}
        self.by_source: dict[str, CallTotals] = {}
        """Sums of calls, by who counted their tokens."""
        self.ttft = Histogram.of("cab_time_to_first_token_seconds")
        self.duration = Histogram.of("cab_call_duration_seconds")

    def add(self, end: Mapping[str, Any]) -> None:
        outcome, source = end["end_reason"], end.get("usage_source") or "none"
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        totals = self.by_source.get(source)
        if totals is None:
            totals = self.by_source[source] = CallTotals()
        totals.add(end)
        if outcome != "completed":
            self._add_error(end)
        if outcome != "rejected":
            self.ttft.add_ms(end.get("ttft_ms"))
            self.duration.add_ms(end.get("latency_ms"))

    def _add_error(self, end: Mapping[str, Any]) -> None:
        kind = error_class(end)
        if kind not in self.errors and len(self.errors) >= _MOST_CLASSES:
            kind = OTHER
        self.errors[kind] = self.errors.get(kind, 0) + 1

    def samples(self) -> Samples:
        labels = self.labels
        by_source = list(self.by_source.items())
        totals = sum((each for _, each in by_source), CallTotals())
        found: Samples = {
            ("cab_attempts_total", labels): totals.attempts,
            ("cab_uncounted_calls_total", labels): totals.interval.unknown_calls,
            ("cab_unpriced_calls_total", labels): totals.cost.missing,
            ("cab_time_to_first_token_seconds", labels): self.ttft.copy(),
            ("cab_call_duration_seconds", labels): self.duration.copy(),
        }
        if totals.cost.priced:  # unknown is not zero
            found["cab_cost_usd_total", labels] = totals.cost.known
        for outcome, count in list(self.outcomes.items()):
            found["cab_calls_total", (*labels, outcome)] = count
        for kind, count in list(self.errors.items()):
            found["cab_call_errors_total", (*labels, kind)] = count
        for source, each in by_source:
            if source == "none":
                continue
            for kind in _KINDS:
                tokens = getattr(each.tokens, kind)
                if tokens.known or tokens.missing < each.calls:  # what nobody counts is not zero
                    found["cab_tokens_total", (*labels, kind, source)] = tokens.known
        return found


class CallMetrics:
    """Adds up END records as they become durable; one thread adds, another one may ask for the sums.

    Args:
        models: Gives the labels of models.
    """

    def __init__(self, models: ModelLabels) -> None:
        self._models = models
        self._groups: dict[tuple[str, str], _Group] = {}
        self._others: dict[tuple[str, str], int] = {}
        self._overhead = Histogram.of("cab_overhead_seconds")
        self._queued = Histogram.of("cab_queue_seconds")

    def add(self, end: Mapping[str, Any]) -> None:
        """Add a call by its END; a fault here costs a count, and no call."""
        try:
            self._add(end)
        except Exception:
            log.exception("call_not_counted", call_id=str(end.get("call_id")))

    def _add(self, end: Mapping[str, Any]) -> None:
        upstream = end.get("upstream") or _NOBODY
        if end.get("endpoint") not in METERED_ENDPOINTS:
            key = upstream, end["end_reason"]
            self._others[key] = self._others.get(key, 0) + 1
            return
        at = upstream, self._models.of(end.get("model_requested"))
        group = self._groups.get(at)
        if group is None:
            group = self._groups[at] = _Group(*at)
        group.add(end)
        self._overhead.add_ms(end.get("proxy_ms"))
        self._queued.add_ms(end.get("queued_ms"))

    def samples(self, open_starts: Iterable[Mapping[str, Any]] = ()) -> Samples:
        """Return all sums.

        Args:
            open_starts: STARTs of the calls in flight.
        """
        found: Samples = {
            ("cab_overhead_seconds", ()): self._overhead.copy(),
            ("cab_queue_seconds", ()): self._queued.copy(),
        }
        for at, group in list(self._groups.items()):
            found |= group.samples()
            found["cab_calls_in_flight", at] = 0
        for start in open_starts:
            if start.get("endpoint") in METERED_ENDPOINTS:
                model = self._models.of(start.get("model_requested"))
                key = "cab_calls_in_flight", (start.get("upstream") or _NOBODY, model)
                found[key] = found.get(key, 0) + 1  # type: ignore[operator]
        for labels, count in list(self._others.items()):
            found["cab_other_requests_total", labels] = count
        return found


def error_class(end: Mapping[str, Any]) -> str:
    """Return the class of a call's error: by status where the endpoint said it, else the proxy's own code.

    What an endpoint calls an error is no class: it may call each one otherwise.
    """
    reason, status = str(end["end_reason"]), end.get("status")
    if reason == "client_gone":
        return reason
    if reason == "upstream_error":
        if status is None or status < 400:
            return "in_answer"
        return _STATUS_CLASSES.get(status, "client_error" if status < 500 else "server_error")
    error: Mapping[str, Any] | None = end.get("error")
    return str((error or {}).get("type") or reason)
