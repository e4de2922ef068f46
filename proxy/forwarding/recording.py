"""The END record of a call, however it came to its end: counted, written, logged."""

from typing import Any

from cab.proxy.forwarding.call_lifecycle import CallLifecycle
from cab.proxy.ledger.call_records import CallContext, CallEnding, end_record
from cab.proxy.logs import RedactingLogger, logs_what_is_usual
from cab.proxy.meter import Outcome
from cab.proxy.redaction import Redactor
from cab.proxy.tokens.usage import Counter


async def record_end(
    lifecycle: CallLifecycle,
    counter: Counter,
    context: CallContext,
    outcome: Outcome,
    ending: CallEnding,
) -> None:
    """Write the END record of a call; see `CallLifecycle.end`."""
    counted = await counter.count(context, outcome)
    record = end_record(context, outcome, counted, ending)
    await lifecycle.end(record)
    log_call(context.redactor, record)


def log_call(redactor: Redactor, record: dict[str, Any]) -> None:
    """Log the end of a call."""
    if not logs_what_is_usual():
        return
    RedactingLogger(redactor).info(
        "call",
        cell=record["cell_id"],
        endpoint=record["endpoint"],
        model=record["model_requested"],
        status=record["status"],
        end_reason=record["end_reason"],
        prompt_tokens=record["prompt_tokens"],
        completion_tokens=record["completion_tokens"],
        latency_ms=record["latency_ms"],
    )
