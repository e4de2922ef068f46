import orjson
import pytest

from cab.proxy.demo.dialects.errors import ErrorReply, anthropic_error, google_error, openai_error


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "insufficient_quota"),
        (429, "rate_limit_error"),
        (500, "server_error"),
        (503, "server_error"),
    ],
)
def test_openais_shape(status: int, kind: str) -> None:
    """The error has a message, a type by its status, the field and the code."""
    body = orjson.loads(openai_error(ErrorReply(status, "why", "field", "word")))
    assert body == {"error": {"message": "why", "type": kind, "param": "field", "code": "word"}}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
    ],
)
def test_anthropics_shape(status: int, kind: str) -> None:
    """The error is typed twice, and the field is in its message."""
    body = orjson.loads(anthropic_error(ErrorReply(status, "why", "field")))
    assert body == {"type": "error", "error": {"type": kind, "message": "field: why"}}


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (404, "NOT_FOUND"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
    ],
)
def test_googles_shape(status: int, word: str) -> None:
    """The error has its status as a number and as a word."""
    body = orjson.loads(google_error(ErrorReply(status, "why")))
    assert body == {"error": {"code": status, "message": "why", "status": word}}
