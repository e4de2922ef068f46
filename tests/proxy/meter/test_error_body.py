"""What an endpoint says went wrong."""

import pytest

from cab.proxy.meter.error_body import (
    EndpointError,
    error_from,
    error_in,
    error_in_body,
    error_in_text,
    error_of_status,
)
from cab.proxy.meter.json_values import JsonObject


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (
            {"error": {"message": "No  such\nmodel", "type": "invalid_request_error", "code": "x"}},
            EndpointError("invalid_request_error", "No such model"),
        ),
        ({"error": {"code": 429, "message": "slow"}}, EndpointError("429", "slow")),
        (
            {"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}},
            EndpointError("INVALID_ARGUMENT", "bad"),
        ),
        ({"error": True, "message": "m"}, EndpointError("error", "m")),
        ({"error": ["m"]}, EndpointError("error", '["m"]')),
        ({"error": {"type": "error", "code": "c"}}, EndpointError("c", "no message")),
        ({"object": "error", "message": "m", "code": 40001}, EndpointError("40001", "m")),
        ({"code": 500, "msg": "m"}, EndpointError("500", "m")),
        ({"success": False}, EndpointError("error", "no message")),
        ({"success": False, "errors": [{"code": 7}]}, EndpointError("error", '[{"code":7}]')),
        (
            {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "m"}},
            EndpointError("1008", "m"),
        ),
        ({"error": {}}, None),
        ({"error": {"message": "", "code": None}}, None),
        ({"error": {"code": 0, "message": "done"}}, None),
        ({"error": {"code": "success"}}, None),
        ({"error": False}, None),
        ({"error": 0}, None),
        ({"error": "success"}, None),
        ({"code": 0, "msg": "ok", "message": "ok"}, None),
        ({"code": 500}, None),
        ({"success": True, "base_resp": {"status_code": 0, "status_msg": ""}}, None),
        ({"error": {"type": "", "message": {"a": 1}}}, EndpointError("error", '{"a":1}')),
        ({"error": "overloaded"}, EndpointError("error", "overloaded")),
        ({"error": "m", "error_type": "overloaded"}, EndpointError("overloaded", "m")),
        (
            {"error": {"message": "m", "type": None, "code": "content_filter", "status": 400}},
            EndpointError("content_filter", "m"),
        ),
        ({"error": None}, None),
        ({"error": ""}, None),
        ({"error": []}, None),
        ({}, None),
    ],
)
def test_errors_are_found_in_every_shape(data: JsonObject, error: EndpointError | None) -> None:
    """OpenAI's, Anthropic's and Gemini's error objects and plain texts give a class and a line."""
    assert error_in(data) == error
    assert error_in_body(data) == error


def test_rejections_have_shapes_of_their_own() -> None:
    """vLLM's bare error object and FastAPI's `detail` are errors of a rejected request."""
    vllm: JsonObject = {"object": "error", "message": "too long", "type": "BadRequestError"}
    assert error_in_body(vllm) == EndpointError("BadRequestError", "too long")
    assert error_in_body({"detail": "Not Found"}) == EndpointError("error", "Not Found")
    assert error_in_body({"detail": [{"msg": "m"}]}) == EndpointError("error", '[{"msg":"m"}]')
    assert error_in_body({"detail": None}) == EndpointError("error", "no message")
    assert error_in_body({"message": 3}) is None


def test_a_long_message_is_cut_and_can_be_written() -> None:
    """A message of any length and any characters fits into a record's one line."""
    error = error_from({"message": "\ud83d" + "x" * 10_000, "type": 2**70})
    assert error.type == "error"
    assert len(error.message) == 2000
    error.message.encode()


@pytest.mark.parametrize(
    ("text", "named", "error"),
    [
        (b"overloaded", True, EndpointError("error", "overloaded")),
        (b"overloaded", False, None),
        (b" [ERROR] overloaded", False, EndpointError("error", "overloaded")),
        (b"[error]", False, EndpointError("error", "no message")),
        (b'Error: {"code":5,"message":"m"}', False, EndpointError("5", "m")),
        (b"<!DOCTYPE html><p>", False, EndpointError("html", "the endpoint sent a page of HTML")),
        (b"12", False, None),
    ],
)
def test_an_error_may_be_plain_text(text: bytes, named: bool, error: EndpointError | None) -> None:
    """An event's data are an error by the event's name, or by how they begin."""
    assert error_in_text(text, named=named) == error


def test_a_status_alone_is_an_error() -> None:
    """From 400 on an answer is an error, whatever its body."""
    assert error_of_status(503) == EndpointError("http_503", "the endpoint gave no error object")
    assert error_of_status(399) is None
