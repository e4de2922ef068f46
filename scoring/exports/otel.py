"""A call under the GenAI attribute names of OpenTelemetry, semantic conventions 1.41.0.

That is the last release with these names; since then they are kept in a repository of their own,
which has released nothing yet. Their status is *Development*, so a later version may rename them.

Attributes have no null: what is unknown is left out. Input tokens include what came from a cache or
was written to one, output tokens include reasoning, as both the conventions and the ledger count.
`cab.*` are our own: the time to the first token is not the conventions' time to the first chunk,
which may be empty.
"""

from typing import Any, Final

from cab.scoring.evidence.messages.model import SaidCall
from cab.scoring.exports.otel_messages import message_attributes
from cab.scoring.exports.plain import dollars, known
from cab.scoring.ledger.call_stats import failure_class, has_succeeded, read_price
from cab.scoring.ledger.records import CallEnd

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


def span(end: CallEnd, said: SaidCall | None = None) -> dict[str, Any]:
    """Return a model call as name, times, status and attributes of a span.

    Args:
        end: The END of a call to a metered endpoint.
        said: What was said in it, to be among the attributes; None leaves it out.

    Raises:
        BadRecord: Its price is not an amount of money.
    """
    operation = _OPERATIONS[end.endpoint]
    return {
        "schema_url": SCHEMA_URL,
        "name": " ".join(filter(None, (operation, end.model_requested))),
        "kind": "CLIENT",
        "start_time": end.started_at,
        "end_time": end.ended_at,
        "status": "UNSET" if has_succeeded(end) else "ERROR",
        "attributes": {
            **known(**_standard(end, operation), **_ours(end)),
            **({} if said is None else message_attributes(said)),
        },
    }


def _standard(end: CallEnd, operation: str) -> dict[str, Any]:
    provider = _PROVIDERS.get(end.endpoint, _OPENAI)
    reasons = end.finish_reasons or ([end.finish_reason] if end.finish_reason else None)
    fingerprint = end.system_fingerprint if provider == _OPENAI else None
    return {
        "gen_ai.operation.name": operation,
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
