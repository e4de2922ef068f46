"""The START and END records of a call, made from what the call and its meter know."""

from dataclasses import dataclass, field
from typing import Any

from cab.proxy.accounting.admission import Admission
from cab.proxy.accounting.prices import EndpointPrices
from cab.proxy.clock import milliseconds
from cab.proxy.meter import Outcome, RequestFacts, Usage
from cab.proxy.redaction import Redactor
from cab.scoring.ledger.clipping import without_large_values
from cab.scoring.ledger.records import (
    METERED_ENDPOINTS,
    Endpoint,
    EndReason,
    UsageSource,
    UsageStatus,
)
from cab.scoring.ledger.totals import may_have_cost
from cab.scoring.ledger.trace_context import known_part
from cab.scoring.prices.sources import UPSTREAM
from cab.scoring.timestamps import rfc3339


@dataclass(frozen=True, slots=True)
class WebSocketFacts:
    """What is known of a call that is one of several on a WebSocket connection."""

    connection_id: str
    stream_id: str | None = None
    """The lane of the connection, `None` for the default one."""
    steered_from: str | None = None
    """Call whose response was steered, if that is how this one began."""
    warmup: bool = False
    """Whether the client asked for no output."""


@dataclass(slots=True)
class CallContext:
    """What is known of a call apart from what its meter reads in the bytes."""

    call_id: str
    cell_id: str | None
    endpoint: Endpoint
    request: RequestFacts
    request_bytes: int
    user_agent: str | None
    started_wall_ns: int
    started_ns: int
    seq: int | None = None
    attempt: int = 1
    retry_of: str | None = None
    upstream_attempts: int = 0
    stale_connections: int = 0
    assumed_output_cap: int | None = None
    """Tokens of an answer at most where the request states no cap."""
    may_cost: bool | None = None
    """Of an endpoint that is not metered: whether its calls may cost tokens."""
    key_id: str | None = None
    """`jti` of the cell's key that it was called with."""
    upstream: str | None = None
    """Host and port of the endpoint that it is for."""
    route: int | None = None
    """Number of that endpoint's route."""
    client: str | None = None
    """Address of the client, for the log."""
    cause: str | None = None
    """What was behind a failure to reach the endpoint, for the log."""
    received_ns: int | None = None
    """The request was here as a whole."""
    forwarded_ns: int | None = None
    """It was on its way to the endpoint."""
    body_queued_ms: float = 0.0
    """How long its body waited for room, before `received_ns`."""
    slot_queued_ms: float = 0.0
    """How long it waited for its cell, after `received_ns`."""
    status: int | None = None
    """What the client was answered."""
    traceparent: str | None = None
    """As the client sent it, which need not be valid."""
    redactor: Redactor = field(default_factory=Redactor)
    """Takes out what must not reach the record."""
    websocket: WebSocketFacts | None = None
    """`None` for a call that is an HTTP request of its own."""
    prices: EndpointPrices | None = None
    """What its tokens cost where the endpoint does not say; None: nobody knows."""
    started: tuple[RequestFacts, dict[str, Any]] | None = None
    """Its START record, with what it was made of; its END repeats that."""

    def take(self, admission: Admission) -> None:
        """Take what the call's cell says when it lets it through."""
        self.seq, self.attempt, self.retry_of = admission[:3]
        self.slot_queued_ms += admission.queued_ms


@dataclass(frozen=True, slots=True)
class Counted:
    """A call's usage with its source."""

    usage: Usage | None = None
    source: UsageSource = "none"
    status: UsageStatus | None = None
    note: str | None = None
    """Why the status is not what the endpoint's usage alone says."""


@dataclass(frozen=True, slots=True)
class CallEnding:
    """How a call ended."""

    reason: EndReason
    ended_ns: int
    error: tuple[str, str] | None = None


def start_record(call: CallContext) -> dict[str, Any]:
    """Return the START record: the call was accepted and is about to be forwarded."""
    if call.started is not None and call.started[0] is call.request:
        return call.started[1]
    record = _start_record(call)
    call.started = call.request, record
    return record


def _start_record(call: CallContext) -> dict[str, Any]:
    model, bound = call.request.model, call.request.bound.assuming(call.assumed_output_cap)
    return {
        "kind": "start",
        "call_id": call.call_id,
        "cell_id": call.cell_id,
        "seq": call.seq,
        "started_at": rfc3339(call.started_wall_ns),
        "endpoint": call.endpoint,
        "stream": call.request.stream,
        "request_hash": call.request.request_hash,
        "request_hash_form": call.request.request_hash_form,
        "model_requested": None if model is None else call.redactor.name(model),
        "may_cost": call.may_cost,
        "key_id": call.key_id,
        "upstream": call.upstream,
        "route": call.route,
        "prompt_tokens_at_most": bound.prompt_tokens,
        "completion_tokens_at_most": bound.completion_tokens,
        **_websocket(call),
        **({} if call.traceparent is None else _trace(call.traceparent, call.redactor)),
    }


def _trace(sent: str, redactor: Redactor) -> dict[str, str]:
    text = known_part(sent)
    # Somebody's key may have the form of an id; half of one would be another trace.
    return {} if text is None or redactor.header(text) != text else {"traceparent": text}


def _websocket(call: CallContext) -> dict[str, Any]:
    facts = call.websocket
    if facts is None:
        return {}
    return {
        "transport": "websocket",
        "connection_id": facts.connection_id,
        "stream_id": None if facts.stream_id is None else call.redactor.name(facts.stream_id),
        "steered_from": facts.steered_from,
        "warmup": facts.warmup,
    }


def end_record(
    call: CallContext, outcome: Outcome, counted: Counted, ending: CallEnding
) -> dict[str, Any]:
    """Return the END record: all that is known of the call."""

    def named(value: Any) -> Any:  # noqa: ANN401 - any JSON value
        # Whatever an endpoint names may hold the key that it was sent.
        return call.redactor.value(value)

    notes = (outcome.usage_note, counted.note, _over_the_cap(call, outcome, counted))
    note = "; ".join(filter(None, notes))
    ended_wall_ns = call.started_wall_ns + ending.ended_ns - call.started_ns
    record = {
        **start_record(call),
        "kind": "end",
        "ended_at": rfc3339(ended_wall_ns),
        "attempt": call.attempt,
        "retry_of": call.retry_of,
        "upstream_attempts": call.upstream_attempts,
        "stale_connections": call.stale_connections,
        "model_served": named(outcome.model_served),
        "upstream_id": named(outcome.upstream_id),
        "system_fingerprint": named(outcome.system_fingerprint),
        "service_tier": named(outcome.service_tier),
        "status": call.status,
        "end_reason": ending.reason,
        "finish_reason": named(outcome.finish_reason),
        **_tokens(counted),
        "usage_note": call.redactor.sentence(note) if note else None,
        **named(_lists_and_objects(outcome)),
        **_times(call, outcome, ending),
        "request_bytes": call.request_bytes,
        "response_bytes": outcome.response_bytes,
        "tool_calls": outcome.tool_calls,
        "user_agent": call.redactor.header(call.user_agent) if call.user_agent else None,
        "provider": None,
        "cost_usd": outcome.cost_usd,
        "price_source": UPSTREAM if outcome.cost_usd is not None else None,
        "unmetered": call.redactor.sentence(outcome.unmetered) if outcome.unmetered else None,
        "error": _error(ending.error or outcome.error, call.redactor),
    }
    if call.endpoint in METERED_ENDPOINTS and not may_have_cost(record):
        record["completion_tokens"] = 0  # nothing reached the model, so nothing was written
    if call.prices is not None:
        call.prices.put(record)
    return record


def _lists_and_objects(outcome: Outcome) -> dict[str, Any]:
    """Return what an endpoint may have made as large as it likes; null, and named, if it is too large."""
    return without_large_values(
        {
            "finish_reasons": outcome.finish_reasons,
            "usage_parts": outcome.usage_parts,
            "usage_raw": outcome.usage_raw,
        }
    )


def _tokens(counted: Counted) -> dict[str, Any]:
    usage = counted.usage
    return {
        "prompt_tokens": usage.prompt_tokens if usage else None,
        "completion_tokens": usage.completion_tokens if usage else None,
        "total_tokens": usage.total_tokens if usage else None,
        "cache_read_tokens": usage.cache_read_tokens if usage else None,
        "cache_write_tokens": usage.cache_write_tokens if usage else None,
        "reasoning_tokens": usage.reasoning_tokens if usage else None,
        "usage_source": counted.source,
        "usage_status": counted.status,
    }


def _over_the_cap(call: CallContext, outcome: Outcome, counted: Counted) -> str | None:
    """Return a hint where the endpoint wrote more than the request allows.

    It stays a hint: several endpoints do not count thinking against the cap, and passes over other models
    have caps of their own. But the upper bounds of calls that such an endpoint does not count are too low.
    """
    cap = call.request.bound.completion_tokens
    written = None if counted.usage is None else counted.usage.completion_tokens
    stated = counted.source == "upstream"  # by another tokenizer it may be a few more
    if not (stated and cap and written and written > cap) or outcome.usage_parts:
        return None
    return f"the completion is over the {cap} tokens that the request allows"


def _times(call: CallContext, outcome: Outcome, ending: CallEnding) -> dict[str, float | None]:
    def between(start_ns: int | None, end_ns: int | None) -> float | None:
        if start_ns is None or end_ns is None:
            return None
        return milliseconds(max(0, end_ns - start_ns))

    def without(waited_ms: float, duration_ms: float | None) -> float | None:
        return None if duration_ms is None else round(max(0.0, duration_ms - waited_ms), 3)

    last_ns = outcome.last_byte_ns or ending.ended_ns
    queued_ms = call.body_queued_ms + call.slot_queued_ms
    return {
        "latency_ms": without(queued_ms, between(call.started_ns, last_ns)),
        "ttft_ms": without(queued_ms, between(call.started_ns, outcome.first_delta_ns)),
        "upstream_ms": between(call.forwarded_ns, last_ns),
        "proxy_ms": without(call.slot_queued_ms, between(call.received_ns, call.forwarded_ns)),
        "queued_ms": round(queued_ms, 3),
    }


def _error(error: tuple[str, str] | None, redactor: Redactor) -> dict[str, str] | None:
    if error is None:
        return None
    kind, message = error
    return {"type": redactor.name(kind), "message": redactor.sentence(message)}
