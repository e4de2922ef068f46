"""The END record of an ordinary call, made without looking at what cannot be in it.

An ordinary call was answered as most are (see `OrdinaryAnswer`), and waited for nothing. Its record is, byte
for byte, what `end_record` and `bounded` make of it.
"""

from typing import Any

from cab.proxy.clock import milliseconds
from cab.proxy.ledger.call_records import CallContext, start_record
from cab.proxy.meter import OrdinaryAnswer
from cab.proxy.meter.usage.ordinary import ORDINARY_TEXTS
from cab.scoring.ledger.bounds import MAX_NAME_CHARS
from cab.scoring.ledger.records import METERED_ENDPOINTS
from cab.scoring.timestamps import rfc3339


def is_within_bounds(start: dict[str, Any]) -> bool:
    """Return whether a START of an HTTP request is within its bounds without being clipped."""
    # The only members that somebody else has written.
    names = start["model_requested"], start["key_id"], start["upstream"]
    return all(name is None or len(name) <= MAX_NAME_CHARS for name in names)


def ordinary_end_record(
    call: CallContext, answer: OrdinaryAnswer, ended_ns: int
) -> dict[str, Any] | None:
    """Return the END record of a completed call, within its bounds; None if it is not an ordinary one.

    Args:
        call: What is known of it. Its client is there.
        answer: Its answer.
        ended_ns: When it ended, by the monotonic clock.
    """
    start, said, redactor, agent = start_record(call), answer.said, call.redactor, call.user_agent
    cap, usage = call.request.bound.completion_tokens, said.usage
    if (
        call.endpoint not in METERED_ENDPOINTS
        or call.websocket is not None
        or call.body_queued_ms
        or call.slot_queued_ms
        or (cap is not None and (usage.completion_tokens or 0) > cap)
        or not redactor.leaves(ORDINARY_TEXTS)
        or not is_within_bounds(start)
    ):
        return None
    model, own_id, fingerprint = said.model_served, said.upstream_id, said.system_fingerprint
    tier = said.service_tier
    names = (
        None if model is None else redactor.name(model),
        None if own_id is None else redactor.identifier(own_id),
        None if fingerprint is None else redactor.name(fingerprint),
        redactor.name(said.finish_reason),
        None if tier is None else redactor.name(tier),
        redactor.header(agent) if agent else None,
    )
    for name in names:
        if name is not None and len(name) > MAX_NAME_CHARS:
            return None
    record = _record(call, start, answer, names, ended_ns)
    if call.prices is not None:
        call.prices.put(record)
    return record


def _record(
    call: CallContext,
    start: dict[str, Any],
    answer: OrdinaryAnswer,
    names: tuple[str | None, ...],
    ended_ns: int,
) -> dict[str, Any]:
    said, began_ns = answer.said, call.started_ns
    last_ns = answer.last_byte_ns or ended_ns
    prompt, completion, total, read, written, reasoning = said.usage
    return {
        **start,
        "kind": "end",
        "ended_at": rfc3339(call.started_wall_ns + ended_ns - began_ns),
        "attempt": call.attempt,
        "retry_of": call.retry_of,
        "upstream_attempts": call.upstream_attempts,
        "stale_connections": call.stale_connections,
        "model_served": names[0],
        "upstream_id": names[1],
        "system_fingerprint": names[2],
        "service_tier": names[4],
        "status": call.status,
        "end_reason": "completed",
        "finish_reason": names[3],
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": total,
        "cache_read_tokens": read,
        "cache_write_tokens": written,
        "reasoning_tokens": reasoning,
        "usage_source": "upstream",
        "usage_status": "complete",
        "usage_note": None,
        "finish_reasons": None,
        "usage_parts": None,
        "usage_raw": said.usage_raw,
        "latency_ms": _between(began_ns, last_ns),
        "ttft_ms": _between(began_ns, answer.first_delta_ns),
        "upstream_ms": _between(call.forwarded_ns, last_ns),
        "proxy_ms": _between(call.received_ns, call.forwarded_ns),
        "queued_ms": 0.0,
        "request_bytes": call.request_bytes,
        "response_bytes": answer.response_bytes,
        "tool_calls": said.tool_calls,
        "user_agent": names[5],
        "provider": None,
        "cost_usd": None,
        "price_source": None,
        "unmetered": None,
        "error": None,
    }


def _between(start_ns: int | None, end_ns: int | None) -> float | None:
    if start_ns is None or end_ns is None:
        return None
    return milliseconds(end_ns - start_ns) if end_ns > start_ns else 0.0
