"""What an endpoint says went wrong."""

import pytest

from cab.proxy.meter.error_body import EndpointError, fault_from, fault_in, fault_in_body
from cab.proxy.meter.json_values import JsonObject


@pytest.mark.parametrize(
    ("data", "fault"),
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
        ({"error": {}}, EndpointError("error", "no message")),
        ({"error": {"type": "", "message": {"a": 1}}}, EndpointError("error", '{"a":1}')),
        ({"error": "overloaded"}, EndpointError("error", "overloaded")),
        ({"error": None}, None),
        ({"error": ""}, None),
        ({"error": []}, None),
        ({}, None),
    ],
)
def test_errors_are_found_in_every_shape(data: JsonObject, fault: EndpointError | None) -> None:
    """OpenAI's, Anthropic's and Gemini's error objects and plain texts give a class and a line."""
    assert fault_in(data) == fault
    assert fault_in_body(data) == fault


def test_refusals_have_shapes_of_their_own() -> None:
    """vLLM's bare error object and FastAPI's `detail` are errors of a refused request."""
    vllm: JsonObject = {"object": "error", "message": "too long", "type": "BadRequestError"}
    assert fault_in_body(vllm) == EndpointError("BadRequestError", "too long")
    assert fault_in_body({"detail": "Not Found"}) == EndpointError("error", "Not Found")
    assert fault_in_body({"detail": [{"msg": "m"}]}) == EndpointError("error", '[{"msg":"m"}]')
    assert fault_in_body({"detail": None}) == EndpointError("error", "no message")
    assert fault_in_body({"message": 3}) is None


def test_a_long_message_is_cut_and_can_be_written() -> None:
    """A message of any length and any characters fits into a record's one line."""
    fault = fault_from({"message": "\ud83d" + "x" * 10_000, "type": 2**70})
    assert fault.type == "error"
    assert len(fault.message) == 2000
    fault.message.encode()
