"""What a record says about the time that a call took."""

import orjson

from cab.proxy.accounting.admission import Admission
from cab.proxy.ledger.call_records import CallContext, CallEnding, Counted, end_record
from cab.proxy.meter import CallMeter, dialect_for
from tests.tools.dialects import BY_ENDPOINT

MS = 1_000_000
CHAT = BY_ENDPOINT["chat.completions"]


def test_time_in_a_queue_stands_apart() -> None:
    """Neither what the answer took nor what the proxy did holds the time that a call waited for others."""
    meter = CallMeter(dialect_for("POST", CHAT.path), CHAT.path, b"{}")
    meter.start(200, "application/json", "", None)
    meter.feed(orjson.dumps(CHAT.answer), 190 * MS)
    meter.finish(200 * MS)
    call = CallContext(
        call_id="c",
        cell_id="s/a/m/f/t",
        endpoint=CHAT.endpoint,
        request=meter.request,
        request_bytes=2,
        user_agent=None,
        started_wall_ns=0,
        started_ns=0,
        received_ns=50 * MS,
        body_queued_ms=40.0,
    )
    call.take(Admission(1, 1, None, queued_ms=60.0))
    call.forwarded_ns = 115 * MS
    record = end_record(call, meter.outcome(), Counted(), CallEnding("completed", 205 * MS))
    times = {name: value for name, value in record.items() if name.endswith("_ms")}
    assert times == {
        "queued_ms": 100.0,
        "latency_ms": 90.0,
        "ttft_ms": None,
        "upstream_ms": 75.0,
        "proxy_ms": 5.0,
    }
