"""What parts of the proxy count and hold, as samples; they know nothing of metrics themselves."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from cab.proxy.control.metrics.samples import Key, Value
from cab.proxy.http.client_connections import HttpServer
from cab.proxy.ledger.ledger import Ledger

if TYPE_CHECKING:
    from cab.proxy.control.telemetry.export import OtlpExport
    from cab.proxy.ledger.shipping.status_file import ShippingView


def of_ledger(ledger: Ledger) -> Iterator[tuple[Key, Value]]:
    """Yield the state of a ledger."""
    yield ("cab_ledger_waiting_records", ()), ledger.waiting_records
    yield ("cab_ledger_unwritten_records", ()), ledger.unwritten_records
    yield ("cab_ledger_lost_records_total", ()), ledger.lost_records
    yield ("cab_ledger_failing", ()), int(ledger.failure is not None)


def of_telemetry(export: "OtlpExport") -> Iterator[tuple[Key, Value]]:
    """Yield what became of spans."""
    yield ("cab_otel_spans_total", ("sent",)), export.sent
    yield ("cab_otel_spans_total", ("dropped",)), export.dropped
    yield ("cab_otel_waiting_spans", ()), export.waiting


def of_shipping(view: "ShippingView") -> Iterator[tuple[Key, Value]]:
    """Yield how the ledger is shipped; what is not known is left out."""
    status = view.status()
    if status is None:
        return
    lines, behind = status.get("shipped_lines"), status.get("behind_bytes")
    if isinstance(lines, int):
        yield ("cab_ship_lines_total", ()), lines
    if isinstance(behind, int):
        yield ("cab_ship_behind_bytes", ()), behind
    yield ("cab_ship_failing", ()), int(status.get("failure") is not None)
    if (complete_s := view.complete_s()) is not None:
        yield ("cab_ship_complete_time_seconds", ()), complete_s


def of_clients(server: HttpServer) -> Iterator[tuple[Key, Value]]:
    """Yield the connections of clients."""
    open_, idle = server.places
    yield ("cab_client_connections", ("busy",)), open_ - idle
    yield ("cab_client_connections", ("idle",)), idle
    yield ("cab_client_connections_refused_total", ()), server.refused


def of_endpoints(
    connections: Callable[[], Iterable[tuple[str, int, int]]],
) -> Iterator[tuple[Key, Value]]:
    """Yield the connections to endpoints.

    Args:
        connections: Gives the host and port of each endpoint, its busy connections, and its idle ones.
    """
    for upstream, busy, idle in connections():
        yield ("cab_endpoint_connections", (upstream, "busy")), busy
        yield ("cab_endpoint_connections", (upstream, "idle")), idle
