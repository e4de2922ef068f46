"""A call as a span of OpenTelemetry, with the GenAI attribute names of its semantic conventions 1.41.0.

That is the last release of the conventions as a whole with these names. Since then they are kept in a
repository of their own, whose first releases rename some and have no schema that a collector could read.
Their status is *Development*, so a later version may rename them.

A call is one span. Its ids follow from the call's own id, so that the span is the same whoever makes it: the
proxy as the call ends, or an export years later. A client that sent a `traceparent` has it below its own span.

Attributes have no null: what is unknown is left out. Input tokens include what came from a cache or
was written to one, output tokens include reasoning, as both the conventions and the ledger count.
`cab.*` are our own: the time to the first token is not the conventions' time to the first chunk,
which may be empty.
"""

from collections.abc import Iterable
from typing import Any, Final

from cab.scoring.evidence.messages.model import SaidCall
from cab.scoring.exports.otel_messages import message_attributes
from cab.scoring.exports.otlp import (
    KIND_CLIENT,
    STATUS_ERROR,
    key_values,
    span_id,
    trace_id,
    traces,
)
from cab.scoring.exports.plain import dollars, known
from cab.scoring.ledger.call_stats import failure_class, has_succeeded, read_price
from cab.scoring.ledger.records import CallEnd
from cab.scoring.ledger.trace_context import parse_traceparent
from cab.scoring.timestamps import instant_us

CONVENTIONS: Final = "1.41.0"
"""Version of the semantic conventions."""

SCHEMA_URL: Final = f"https://opentelemetry.io/schemas/{CONVENTIONS}"
"""Where a collector finds the meaning of the names, as the conventions demand it."""

_OPERATIONS = {
    "chat.completions": "chat",
    "completions": "text_completion",
    "fim.completions": "text_completion",
    "embeddings": "embeddings",
    "rerank": "rerank",
    "responses": "chat",
    "messages": "chat",
    "gemini.generateContent": "generate_content",
    "audio.transcriptions": "transcription",
    "audio.translations": "translation",
    "audio.speech": "speech",
    "images.generations": "image_generation",
    "images.edits": "image_edit",
    "images.variations": "image_variation",
}
"""Metered endpoint -> `gen_ai.operation.name`."""

_PROVIDERS = {
    "fim.completions": "mistral_ai",
    "rerank": "cohere",
    "messages": "anthropic",
    "gemini.generateContent": "gcp.gen_ai",
}
"""Endpoint -> the provider whose dialect it has, which need not be who serves the model."""

_OPENAI = "openai"


SCOPE: Final = "cab"
"""Who says so: the name of the instrumentation scope."""

SERVICE: Final = "cab-proxy"
"""Name of the service that measured, where nobody gives it another one."""

_HAS_REMOTE_PARENT = 0x300
"""Bits 8 and 9 of a span's flags: it is known whether the parent is of another process, and it is."""


def spans_line(end: CallEnd, said: SaidCall | None = None) -> dict[str, Any]:
    """Return a line of a file of spans (OTLP as JSON) that holds a call; see `span`."""
    return spans_request([span(end, said)], {"service.name": SERVICE})


def spans_request(spans: Iterable[dict[str, Any]], resource: dict[str, Any]) -> dict[str, Any]:
    """Return spans as a receiver takes them.

    Args:
        spans: As `span` makes them.
        resource: Attributes of the process that measured.
    """
    return traces(spans, resource, SCOPE, SCHEMA_URL)


def span(end: CallEnd, said: SaidCall | None = None) -> dict[str, Any]:
    """Return a model call as a span in the form of OTLP as JSON.

    Args:
        end: The END of a call to a metered endpoint.
        said: What was said in it, to be among the attributes; None leaves it out.

    Raises:
        BadRecord: Its price is not an amount of money.
        ValueError: One of its times is none.
    """
    status = {} if has_succeeded(end) else {"code": STATUS_ERROR}
    return {
        **_place(end),
        "name": " ".join(filter(None, (_OPERATIONS[end.endpoint], end.model_requested))),
        "kind": KIND_CLIENT,
        "startTimeUnixNano": str(instant_us(end.started_at) * 1000),
        "endTimeUnixNano": str(instant_us(end.ended_at) * 1000),
        "attributes": key_values(attributes(end, said)),
        "status": status,
    }


def attributes(end: CallEnd, said: SaidCall | None = None) -> dict[str, Any]:
    """Return the attributes of a call's span by name; the arguments are those of `span`.

    Raises:
        BadRecord: Its price is not an amount of money.
    """
    said_in_it = {} if said is None else message_attributes(said)
    return {**known(**_standard(end), **_ours(end)), **said_in_it}


def metric_attributes(end: CallEnd) -> dict[str, Any]:
    """Return those attributes of a call that have few values, but for the model."""
    return {
        "gen_ai.operation.name": _OPERATIONS[end.endpoint],
        "gen_ai.provider.name": _PROVIDERS.get(end.endpoint, _OPENAI),
    }


def _place(end: CallEnd) -> dict[str, Any]:
    """Return the ids of a span: which trace it is in, and below what."""
    own = span_id(end.call_id)
    parent = parse_traceparent(end.traceparent)
    if parent is None:
        # A repetition is in the trace of what it repeats.
        return {"traceId": trace_id(end.retry_of or end.call_id), "spanId": own}
    return {
        "traceId": parent.trace_id,
        "spanId": own,
        "parentSpanId": parent.span_id,
        "flags": _HAS_REMOTE_PARENT | parent.flags,
    }


def _standard(end: CallEnd) -> dict[str, Any]:
    provider = _PROVIDERS.get(end.endpoint, _OPENAI)
    reasons = end.finish_reasons or ([end.finish_reason] if end.finish_reason else None)
    fingerprint = end.system_fingerprint if provider == _OPENAI else None
    return {
        "gen_ai.operation.name": _OPERATIONS[end.endpoint],
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": end.model_requested,
        "gen_ai.request.stream": end.stream or None,  # to be left out where it is false
        "gen_ai.response.model": end.model_served,
        "gen_ai.response.id": end.upstream_id,
        "gen_ai.response.finish_reasons": reasons,
        "gen_ai.usage.input_tokens": end.prompt_tokens,
        "gen_ai.usage.output_tokens": end.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": end.cache_read_tokens,
        "gen_ai.usage.cache_creation.input_tokens": end.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": end.reasoning_tokens,
        "openai.response.system_fingerprint": fingerprint,
        "error.type": _error_type(end),
        "http.response.status_code": end.status,
        "http.request.resend_count": end.attempt - 1 or None,
        "user_agent.original": end.user_agent,
    }


def _ours(end: CallEnd) -> dict[str, Any]:
    return {
        "cab.cell_id": end.cell_id,
        "cab.call_id": end.call_id,
        "cab.seq": end.seq,
        "cab.retry_of": end.retry_of,
        "cab.end_reason": end.end_reason,
        "cab.usage_source": end.usage_source,
        "cab.usage_status": end.usage_status,
        "cab.tool_calls": end.tool_calls,
        "cab.latency_ms": end.latency_ms,
        "cab.ttft_ms": end.ttft_ms,
        "cab.proxy_ms": end.proxy_ms,
        "cab.queued_ms": end.queued_ms,
        "cab.cost_usd": dollars(read_price(end)),
        "cab.price_source": end.price_source,
        "cab.hash": end.hash,
    }


def _error_type(end: CallEnd) -> str | None:
    if has_succeeded(end):
        return None
    return end.error.type if end.error else failure_class(end)
