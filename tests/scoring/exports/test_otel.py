from hashlib import sha256
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from cab.scoring.exports.otel import CONVENTIONS, SCHEMA_URL, attributes, span, spans_line
from cab.scoring.exports.otlp import any_value
from cab.scoring.ledger.records import METERED_ENDPOINTS
from cab.scoring.ledger.trace_context import known_part, parse_traceparent
from tests.scoring.builders import CELL_ID, end, uncounted
from tests.tools.otlp import parsed

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
    assert attributes(end(**FULL)) == {
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
    }


def test_a_line_is_a_request_of_otlp() -> None:
    """Protobuf's own parser takes a line, and its ids have 16 and 8 bytes, which follow from our own."""
    made = spans_line(end(**FULL))
    [scope] = parsed(made).resource_spans[0].scope_spans
    [read] = scope.spans
    assert (len(read.trace_id), len(read.span_id), read.parent_span_id) == (16, 8, b"")
    assert read.trace_id == sha256(b"cab trace c0").digest()[:16], "that of what it repeats"
    assert read.span_id == sha256(b"cab span c1").digest()[:8]
    assert (read.name, read.kind, read.status.code) == ("chat m", Span.SPAN_KIND_CLIENT, 0)
    assert read.end_time_unix_nano - read.start_time_unix_nano == 500_000_000
    assert scope.schema_url == "https://opentelemetry.io/schemas/1.41.0"
    assert len(read.attributes) == len(attributes(end(**FULL)))
    # What a parser of protobuf's JSON takes as well, and a receiver of OTLP need not.
    [[raw]] = [each["spans"] for each in made["resourceSpans"][0]["scopeSpans"]]
    assert (raw["kind"], raw["startTimeUnixNano"]) == (3, "1795176000000000000")
    tokens = next(a for a in raw["attributes"] if a["key"] == "gen_ai.usage.input_tokens")
    assert tokens["value"] == {"intValue": "100"}


def test_a_span_is_below_that_of_the_client() -> None:
    """With a `traceparent` a call is in the client's trace; one that is not valid is as none."""
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    made = span(end(traceparent=f"00-{trace}-{parent}-01"))
    assert (made["traceId"], made["parentSpanId"], made["flags"]) == (trace, parent, 0x301)
    assert made["spanId"] == span(end())["spanId"]
    invalid = span(end(traceparent=f"00-{'0' * 32}-{parent}-01"))
    assert "parentSpanId" not in invalid
    assert invalid["traceId"] == span(end())["traceId"]


@pytest.mark.parametrize(
    ("text", "is_valid"),
    [
        ("00-{trace}-{span}-00", True),
        ("cc-{trace}-{span}-09", True),
        ("cc-{trace}-{span}-09-what-comes", True),
        ("00-{trace}-{span}-01-more", False),
        ("ff-{trace}-{span}-01", False),
        ("00-{TRACE}-{span}-01", False),
        ("00-{trace}-0000000000000000-01", False),
        ("00-{trace}-{span}-1", False),
        ("00-{trace}-{span}-01\n", False),
        ("", False),
    ],
)
def test_what_a_traceparent_is(text: str, is_valid: bool) -> None:
    """Those forms hold that W3C Trace Context allows, of later versions too."""
    ids = {"trace": "ab" * 16, "TRACE": "AB" * 16, "span": "cd" * 8}
    found = parse_traceparent(text.format(**ids))
    assert (found is not None) is is_valid
    if found is not None:
        assert found[:2] == (ids["trace"], ids["span"])
        assert known_part(text.format(**ids)) == text.format(**ids)[:55]


@settings(deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=8,
    )
)
def test_any_json_value_has_a_type(value: Any) -> None:
    """Whatever a tool's arguments are, protobuf's parser takes them; what is too large becomes text."""
    json_format.ParseDict(any_value(value), AnyValue())


def test_the_version_of_the_names_is_told() -> None:
    """Every line says which release its names are of."""
    assert SCHEMA_URL.endswith(f"/{CONVENTIONS}")


def test_no_name_is_made_up() -> None:
    """Outside `cab.` only names of the release are used."""
    failed = end(**FULL, status=500, end_reason="upstream_error")
    used = {name for call in (end(**FULL), failed) for name in attributes(call)}
    assert {name for name in used if not name.startswith("cab.")} == NAMES


def test_what_is_unknown_is_left_out() -> None:
    """A call that nobody counted has no token attributes: a 0 would be a measured one."""
    found = attributes(uncounted("c1"))
    assert not [name for name in found if name.startswith("gen_ai.usage")]
    assert not {"gen_ai.request.stream", "http.request.resend_count"} & found.keys()
    assert None not in found.values()
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
    found = attributes(end(**FULL, endpoint=endpoint))
    assert found["gen_ai.operation.name"] == operation
    assert found["gen_ai.provider.name"] == provider
    assert ("openai.response.system_fingerprint" in found) == (provider == "openai")


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
    call = uncounted("c1", **changes)
    assert span(call)["status"] == {"code": 2}
    assert attributes(call)["error.type"] == error_type


def test_several_choices_have_several_finish_reasons() -> None:
    """Finish reasons are a list, one per choice."""
    found = attributes(end(finish_reason="stop", finish_reasons=["stop", "length"]))
    assert found["gen_ai.response.finish_reasons"] == ["stop", "length"]
