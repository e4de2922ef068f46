from typing import Any

import pytest

from cab.scoring.exports.otel import CONVENTIONS, SCHEMA_URL, span
from cab.scoring.ledger.records import METERED_ENDPOINTS
from tests.scoring.builders import CELL_ID, end, uncounted

NAMES = {
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.request.stream",
    "gen_ai.response.model",
    "gen_ai.response.id",
    "gen_ai.response.finish_reasons",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.reasoning.output_tokens",
    "openai.response.system_fingerprint",
    "error.type",
    "http.response.status_code",
    "http.request.resend_count",
    "user_agent.original",
}
"""Of the attributes of release 1.41.0, those that a ledger knows something of."""

FULL: dict[str, Any] = {
    "stream": True,
    "model_requested": "m",
    "model_served": "m-1",
    "upstream_id": "chatcmpl-1",
    "finish_reason": "stop",
    "system_fingerprint": "fp",
    "cache_read_tokens": 60,
    "cache_write_tokens": 10,
    "reasoning_tokens": 5,
    "attempt": 2,
    "retry_of": "c0",
    "user_agent": "ua/1",
    "ttft_ms": 40.0,
    "cost_usd": "0.25",
    "price_source": "upstream",
}


def test_a_call_under_the_names_of_the_conventions() -> None:
    """Every number of a call has its name, and input tokens include cached ones."""
    assert span(end(**FULL)) == {
        "schema_url": "https://opentelemetry.io/schemas/1.41.0",
        "name": "chat m",
        "kind": "CLIENT",
        "start_time": "2026-11-20T12:00:00.000000Z",
        "end_time": "2026-11-20T12:00:00.500000Z",
        "status": "UNSET",
        "attributes": {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "m",
            "gen_ai.request.stream": True,
            "gen_ai.response.model": "m-1",
            "gen_ai.response.id": "chatcmpl-1",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.usage.cache_read.input_tokens": 60,
            "gen_ai.usage.cache_creation.input_tokens": 10,
            "gen_ai.usage.reasoning.output_tokens": 5,
            "openai.response.system_fingerprint": "fp",
            "http.response.status_code": 200,
            "http.request.resend_count": 1,
            "user_agent.original": "ua/1",
            "cab.cell_id": CELL_ID,
            "cab.call_id": "c1",
            "cab.seq": 1,
            "cab.retry_of": "c0",
            "cab.end_reason": "completed",
            "cab.usage_source": "upstream",
            "cab.usage_status": "complete",
            "cab.latency_ms": 500.0,
            "cab.ttft_ms": 40.0,
            "cab.cost_usd": 0.25,
            "cab.price_source": "upstream",
            "cab.hash": end(**FULL).hash,
        },
    }


def test_the_version_of_the_names_is_told() -> None:
    """Every line says which release its names are of."""
    assert SCHEMA_URL.endswith(f"/{CONVENTIONS}")


def test_no_name_is_made_up() -> None:
    """Outside `cab.` only names of the release are used."""
    failed = end(**FULL, status=500, end_reason="upstream_error")
    used = {name for call in (end(**FULL), failed) for name in span(call)["attributes"]}
    assert {name for name in used if not name.startswith("cab.")} == NAMES


def test_what_is_unknown_is_left_out() -> None:
    """A call that nobody counted has no token attributes: a 0 would be a measured one."""
    attributes = span(uncounted("c1"))["attributes"]
    assert not [name for name in attributes if name.startswith("gen_ai.usage")]
    assert not {"gen_ai.request.stream", "http.request.resend_count"} & attributes.keys()
    assert None not in attributes.values()
    assert span(uncounted("c1"))["name"] == "chat"


@pytest.mark.parametrize(
    ("endpoint", "operation", "provider"),
    [
        ("chat.completions", "chat", "openai"),
        ("completions", "text_completion", "openai"),
        ("fim.completions", "text_completion", "mistral_ai"),
        ("embeddings", "embeddings", "openai"),
        ("rerank", "rerank", "cohere"),
        ("responses", "chat", "openai"),
        ("messages", "chat", "anthropic"),
        ("gemini.generateContent", "generate_content", "gcp.gen_ai"),
        ("audio.transcriptions", "transcription", "openai"),
        ("images.generations", "image_generation", "openai"),
    ],
)
def test_each_dialect_has_its_operation_and_provider(
    endpoint: str, operation: str, provider: str
) -> None:
    """Operation and provider follow from the dialect; the fingerprint is OpenAI's alone."""
    attributes = span(end(**FULL, endpoint=endpoint))["attributes"]
    assert attributes["gen_ai.operation.name"] == operation
    assert attributes["gen_ai.provider.name"] == provider
    assert ("openai.response.system_fingerprint" in attributes) == (provider == "openai")


def test_every_metered_endpoint_has_a_name() -> None:
    """A dialect that is metered can be exported."""
    for endpoint in METERED_ENDPOINTS:
        assert span(end(endpoint=endpoint))["name"]


@pytest.mark.parametrize(
    ("changes", "error_type"),
    [
        (
            {"status": 429, "error": {"type": "rate_limit_error", "message": "x"}},
            "rate_limit_error",
        ),
        ({"status": 429}, "rate_limited"),
        ({"status": None, "end_reason": "upstream_unreachable"}, "network"),
    ],
)
def test_a_failed_call_has_an_error_type(changes: dict[str, Any], error_type: str) -> None:
    """A call that failed has the status ERROR and the endpoint's own error type, or our class of it."""
    made = span(uncounted("c1", **changes))
    assert made["status"] == "ERROR"
    assert made["attributes"]["error.type"] == error_type


def test_several_choices_have_several_finish_reasons() -> None:
    """Finish reasons are a list, one per choice."""
    made = span(end(finish_reason="stop", finish_reasons=["stop", "length"]))
    assert made["attributes"]["gen_ai.response.finish_reasons"] == ["stop", "length"]
