"""What is measured: each metric's name, kind, labels and meaning.

docs/metrics.md is made of this table; the dashboard and the alert rules are held against it.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]

_BY_MODEL = ("upstream", "model")
_LATENCY_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)
_WORK_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_LAG_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metric(NamedTuple):
    """A metric as Prometheus knows it."""

    kind: Kind
    text: str
    """What it says; the help of the metric."""
    labels: tuple[str, ...] = ()
    bounds_s: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets, in seconds."""


METRICS: Mapping[str, Metric] = {
    "cab_calls_total": Metric(
        "counter",
        "Requests for a completion that have ended, by how they ended (`end_reason` of the ledger).",
        (*_BY_MODEL, "outcome"),
    ),
    "cab_call_errors_total": Metric(
        "counter",
        "Those of them that were not completed, by the class of their error.",
        (*_BY_MODEL, "class"),
    ),
    "cab_attempts_total": Metric(
        "counter", "HTTP requests to the endpoint that were made for calls.", _BY_MODEL
    ),
    "cab_tokens_total": Metric(
        "counter",
        "Tokens as far as they are known, by kind and by who counted them. `cache_read` and "
        "`cache_write` are parts of `prompt`, `reasoning` is a part of `completion`.",
        (*_BY_MODEL, "kind", "source"),
    ),
    "cab_uncounted_calls_total": Metric(
        "counter",
        "Calls that may have cost something and whose tokens are not known, or known only in part: "
        "while it grows, `cab_tokens_total` is a lower bound.",
        _BY_MODEL,
    ),
    "cab_cost_usd_total": Metric(
        "counter", "Cost in US dollars, of calls whose price is known.", _BY_MODEL
    ),
    "cab_unpriced_calls_total": Metric(
        "counter", "Calls that may have cost something and have no price.", _BY_MODEL
    ),
    "cab_time_to_first_token_seconds": Metric(
        "histogram",
        "From the request's first byte to the first token of the answer, without waiting here.",
        _BY_MODEL,
        _LATENCY_S,
    ),
    "cab_call_duration_seconds": Metric(
        "histogram",
        "From the request's first byte to the answer's last one, without waiting here.",
        _BY_MODEL,
        _LATENCY_S,
    ),
    "cab_calls_in_flight": Metric(
        "gauge", "Calls whose START is in the ledger, and whose END is not.", _BY_MODEL
    ),
    "cab_other_requests_total": Metric(
        "counter",
        "Recorded requests that ask for no completion, such as `GET /v1/models`.",
        ("upstream", "outcome"),
    ),
    "cab_refused_requests_total": Metric(
        "counter",
        "Requests that were answered with an error here and have no record, by the error's code.",
        ("code",),
    ),
    "cab_overhead_seconds": Metric(
        "histogram",
        "Of each call, the time from the whole request here to its way to the endpoint (`proxy_ms`).",
        (),
        _WORK_S,
    ),
    "cab_queue_seconds": Metric(
        "histogram",
        "Of each call, how long it waited here for room or for its key's limit (`queued_ms`).",
        (),
        _LATENCY_S,
    ),
    "cab_event_loop_lag_seconds": Metric(
        "histogram", "How late the event loop is, measured twice a second.", (), _LAG_S
    ),
    "cab_ledger_sync_seconds": Metric(
        "histogram", "How long the disk took to make records durable (fdatasync).", (), _WORK_S
    ),
    "cab_ledger_waiting_records": Metric("gauge", "Records that are not on disk yet."),
    "cab_ledger_unwritten_records": Metric(
        "gauge", "Records that calls went on without, as the disk failed: held back, or lost."
    ),
    "cab_ledger_lost_records_total": Metric("counter", "Records that no disk will ever have."),
    "cab_ledger_failing": Metric(
        "gauge", "Processes whose ledger cannot be written now, or is too slow, or nearly full."
    ),
    "cab_endpoint_connections": Metric(
        "gauge",
        "Connections of our own to endpoints, `busy` with a call or `idle`.",
        ("upstream", "state"),
    ),
    "cab_client_connections": Metric(
        "gauge", "Clients' connections, `busy` with a request or `idle`.", ("state",)
    ),
    "cab_client_connections_refused_total": Metric(
        "counter", "Connections that were refused because there were too many."
    ),
    "cab_otel_spans_total": Metric(
        "counter",
        "Calls that were to be exported as spans of OpenTelemetry, `sent` or `dropped`.",
        ("outcome",),
    ),
    "cab_otel_waiting_spans": Metric("gauge", "Spans that wait for their receiver."),
    "cab_ship_lines_total": Metric(
        "counter", "Lines of the ledger that were sent to the database (`ship_to`)."
    ),
    "cab_ship_behind_bytes": Metric(
        "gauge",
        "What the database lacked of the ledger at the last look; missing while it is away.",
    ),
    "cab_ship_failing": Metric("gauge", "1 while the database takes nothing."),
    "cab_ship_complete_time_seconds": Metric(
        "gauge", "When the database last had the whole ledger, in seconds since the Unix epoch."
    ),
    "cab_workers": Metric("gauge", "Processes whose measurements are in these figures."),
    "cab_worker_restarts_total": Metric("counter", "Workers that ended and were started again."),
    "cab_start_time_seconds": Metric(
        "gauge", "When the proxy started, in seconds since the Unix epoch."
    ),
    "cab_build_info": Metric("gauge", "1, with the version of the proxy.", ("version",)),
}
"""Metrics by name, in the order in which they are written."""
