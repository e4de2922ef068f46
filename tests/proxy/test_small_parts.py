"""Clock, ids, redaction and error responses."""

import uuid

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.clock import milliseconds
from cab.proxy.http.error_responses import ErrorResponse, body_for, headers_for
from cab.proxy.ledger.uuid7 import uuid7
from cab.proxy.redaction import Redactor
from cab.scoring.ledger.records import Endpoint
from cab.scoring.timestamps import rfc3339

INSTANT_NS = 1_781_641_074_018_549_999


@given(st.integers(0, 2**48 - 1))
def test_ids_are_uuid7_and_sort_by_time(ms: int) -> None:
    """An id is a valid UUIDv7 whose first 48 bits are the milliseconds."""
    value = uuid.UUID(uuid7(ms * 1_000_000))
    assert (value.version, value.variant) == (7, uuid.RFC_4122)
    assert value.int >> 80 == ms


def test_ids_of_one_instant_differ() -> None:
    """Two ids of the same instant are different."""
    assert len({uuid7(INSTANT_NS) for _ in range(1000)}) == 1000


def test_times_are_utc_with_microseconds() -> None:
    """Instants are written with six digits and a Z, durations to the microsecond."""
    assert rfc3339(INSTANT_NS) == "2026-06-16T20:17:54.018549Z"
    assert rfc3339(0) == "1970-01-01T00:00:00.000000Z"
    assert milliseconds(1_234_567) == 1.235


@given(st.integers(-(10**18), 10**18), st.sampled_from([0, 1, 499, 500, 501, 999]))
def test_durations_are_rounded_as_python_rounds(duration_us: int, rest_ns: int) -> None:
    """Ties too, and whatever is beside one."""
    for duration_ns in (duration_us, duration_us // 1000 * 1000 + rest_ns):
        assert milliseconds(duration_ns) == round(duration_ns / 1_000_000, 3)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (
            "Incorrect API key provided: sk-proj-abc123DEF456.",
            "Incorrect API key provided: [redacted]",
        ),
        ("key AIzaSyA1234567890abcdef is bad", "key [redacted] is bad"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
        ("token eyJhbGciOi.eyJzdWIiOiJ4In0.c2ln", "token [redacted]"),
        ("the secret is hunter22 twice hunter22", "the secret is [redacted] twice [redacted]"),
        ("ask-me about task-runner and disk-usage", "ask-me about task-runner and disk-usage"),
    ],
)
def test_secrets_are_redacted(text: str, clean: str) -> None:
    """Known secrets and texts shaped like keys are redacted, ordinary words are not."""
    assert Redactor(["hunter22", ""]).sentence(text) == clean


def test_sdks_get_the_error_shape_of_their_dialect() -> None:
    """A refusal has the shape that each dialect's SDK turns into its exception."""
    refusal = ErrorResponse(401, "invalid_api_key", "no")
    openai = orjson.loads(body_for("chat.completions", refusal))
    assert openai["error"]["code"] == "invalid_api_key"
    assert orjson.loads(body_for("messages", refusal)) == {
        "type": "error",
        "error": {"type": "authentication_error", "message": "no"},
    }
    assert orjson.loads(body_for("gemini.generateContent", refusal)) == {
        "error": {"code": 401, "message": "no", "status": "UNAUTHENTICATED"}
    }


@pytest.mark.parametrize("endpoint", ["messages", "gemini.generateContent", "other"])
def test_any_status_has_a_shape(endpoint: Endpoint) -> None:
    """A status without a name of its own still gives a body."""
    assert b"odd" in body_for(endpoint, ErrorResponse(502, "odd_thing", "odd"))


def test_only_what_no_retry_can_mend_says_so() -> None:
    """x-should-retry: false stands on final refusals only."""
    assert headers_for(ErrorResponse(401, "c", "m"))["x-should-retry"] == "false"
    assert "x-should-retry" not in headers_for(ErrorResponse(502, "c", "m", retry=True))
