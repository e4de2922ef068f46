"""The END record of a call, however it came to its end: counted, written, logged."""

from typing import Any

from cab.proxy.forwarding.call_lifecycle import CallLifecycle
from cab.proxy.forwarding.endings import ending_of
from cab.proxy.forwarding.services import ProxyServices
from cab.proxy.ledger.call_records import CallContext, CallEnding, end_record
from cab.proxy.ledger.lines import Entry, encoded
from cab.proxy.ledger.ordinary_records import ordinary_end_record
from cab.proxy.logs import RedactingLogger, ThinnedLog, logs_what_is_usual
from cab.proxy.meter import CallMeter, Outcome
from cab.proxy.tokens.usage import Counter
from cab.scoring.ledger.clipping import bounded


async def record_end(
    lifecycle: CallLifecycle,
    services: ProxyServices,
    context: CallContext,
    outcome: Outcome,
    ending: CallEnding,
) -> None:
    """Write the END record of a call; see `CallLifecycle.end`."""
    counted = await services.counter.count(context, outcome)
    record = end_record(context, outcome, counted, ending)
    if context.prices is not None and context.prices.is_waiting(record):
        await context.prices.load()
        context.prices.put(record)
    await lifecycle.end(record)
    _warn_of_call(services.warnings, context, record)
    log_call(context, record)


def end_now(
    context: CallContext, meter: CallMeter, counter: Counter, content_type: bytes, ended_ns: int
) -> Entry | None:
    """Return the END of a call whose answer came whole; None if its tokens or its price have to be found first.

    Args:
        context: What is known of it. Its client is there.
        meter: Has seen the end of its answer.
        counter: Says whether there is something to count.
        content_type: The answer's header.
        ended_ns: When it ended, by the monotonic clock.
    """
    answer = meter.ordinary()
    if answer is not None:
        record = ordinary_end_record(context, answer, ended_ns)
        if record is not None:
            return None if _waits(context, record) else encoded(record)
    outcome = meter.outcome()
    counted = counter.count_now(context, outcome)
    if counted is None:
        return None
    is_stream = content_type.partition(b";")[0].strip().lower() == b"text/event-stream"
    ending = ending_of(outcome, ended_ns, client_gone=False, is_stream=is_stream)
    record = end_record(context, outcome, counted, ending)
    return None if _waits(context, record) else bounded(record)


def _waits(context: CallContext, record: dict[str, Any]) -> bool:
    return context.prices is not None and context.prices.is_waiting(record)


def log_call(context: CallContext, record: dict[str, Any]) -> None:
    """Log the end of a call; its record is redacted, but for the cell that a client may have named."""
    if not logs_what_is_usual():
        return
    cell, error = record["cell_id"], record["error"]
    values = {
        "call_id": record["call_id"],
        "cell": None if cell is None else context.redactor.name(cell),
        "key_id": record["key_id"],
        "client": context.client,
        "upstream": record["upstream"],
        "endpoint": record["endpoint"],
        "stream": record["stream"],
        "model": record["model_requested"],
        "status": record["status"],
        "end_reason": record["end_reason"],
        "prompt_tokens": record["prompt_tokens"],
        "completion_tokens": record["completion_tokens"],
        "ttft_ms": record["ttft_ms"],
        "latency_ms": record["latency_ms"],
    }
    if error is not None:
        values["error"] = error["type"]
    RedactingLogger(context.redactor).record("call", values)


_FAILED = "endpoint_failed"
_EVENTS = {
    "rejected": "call_refused",
    **dict.fromkeys(("upstream_unreachable", "upstream_cut", "timeout"), _FAILED),
}
"""Names of the warnings, by how a call ended."""


def _warn_of_call(thinned: ThinnedLog, context: CallContext, record: dict[str, Any]) -> None:
    """Log why a call was refused, or why the endpoint gave no answer or no whole one."""
    event, error = _EVENTS.get(record["end_reason"]), record["error"]
    if event is None and context.cause is not None:
        event = _FAILED
    if event is None or error is None:
        return
    values = {
        "call_id": record["call_id"],
        "cell": record["cell_id"],
        "key_id": record["key_id"],
        "client": context.client,
        "upstream": record["upstream"],
        "model": record["model_requested"],
        "status": record["status"],
        "message": error["message"],
        "cause": context.cause,
    }
    thinned.warning(RedactingLogger(context.redactor), event, error["type"], values)
