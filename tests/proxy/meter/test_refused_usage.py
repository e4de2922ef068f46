"""Which errors refuse to be asked for usage, and which only repeat that it was asked for."""

import orjson
import pytest

from cab.proxy.meter.refused_usage import refuses_usage, stated_error
from tests.proxy.meter.drive import event

ASK = {"include_usage": True}
ECHO: dict[str, object] = {"model": "m", "stream": True, "stream_options": ASK, "messages": []}
NAMED = "Unknown parameter: 'stream_options'."


def error(message: str, **members: object) -> bytes:
    return orjson.dumps({"error": {"message": message, **members}})


def detail(*location: str, message: str = "Extra inputs are not permitted") -> bytes:
    problem = {"type": "extra_forbidden", "loc": location, "msg": message, "input": ASK}
    return orjson.dumps({"detail": [problem], "body": ECHO})


@pytest.mark.parametrize(
    "text",
    [
        error("Unrecognized request argument supplied: stream_options"),
        error("Validation error at #/stream_options: Extra inputs are not permitted"),
        error("Extra inputs are not permitted, field: 'stream_options'"),
        error("property 'stream_options' is unsupported, did you mean 'stream'?"),
        error("Unsupported parameter: stream_options"),
        error("stream_options is not supported"),
        error("wrong value", param="stream_options"),
        error("bad", param="stream_options.include_usage"),
        error(NAMED),
        error(f'upstream answered 400: {{"error": {{"message": "{NAMED}"}}}}'),
        detail("body", "stream_options"),
        detail("body", "stream_options", "include_usage"),
        orjson.dumps({"message": orjson.loads(detail("body", "stream_options"))}),
        b"""{"object":"error","message":"[{'type':'extra_forbidden','loc':('body','stream_options'),"""
        b"""'msg':'Extra inputs are not permitted','input':{'include_usage':True}}]"}""",
        error("1 validation error\nstream_options\n  Extra inputs are not permitted [type=x]"),
        b"stream_options not supported",
        # An extra field that is not named may be the one that was added.
        error("Extra inputs are not permitted"),
        orjson.dumps({"detail": "extra fields not permitted"}),
        orjson.dumps({"detail": [{"type": "extra_forbidden", "msg": "Extra inputs are not permitted", "input": ASK}]}),
    ],
)  # fmt: skip
def test_an_error_that_points_at_the_question_refuses_it(text: bytes) -> None:
    """The name counts where it is what the error objects to."""
    assert refuses_usage(text)


@pytest.mark.parametrize(
    "text",
    [
        error("max_tokens is too large", param="max_tokens"),
        error("slow down"),
        orjson.dumps({"detail": [{"loc": ["body", "messages"], "msg": "Field required", "input": ECHO}]}),
        orjson.dumps({"detail": "bad request", "body": ECHO}),
        detail("body", "stream_otpions"),
        detail("body", "temprature"),
        error("Extra inputs are not permitted, field: 'temprature'"),
        error("Extra inputs are not permitted", param="temprature"),
        error("1 validation error\ntemprature\n  Extra inputs are not permitted [type=x, input_value={'stream_options': {'include_usage': True}}]"),
        error(f"invalid request: {orjson.dumps(ECHO).decode()}"),
        error(f"unknown model m in {ECHO}"),
        error(f"[{{'loc': ('body', 'messages'), 'msg': 'Field required', 'input': {ECHO}}}]"),
        b'{"error":{"message":"wrong messages","request":{"stream_options":{"include_usage":true}}}}',
        b"",
    ],
)  # fmt: skip
def test_an_error_that_repeats_the_question_does_not(text: bytes) -> None:
    """What is repeated of the request is no refusal, whatever else the error objects to."""
    assert not refuses_usage(text)


def test_an_error_status_and_an_error_event_state_an_error() -> None:
    """A refusal is the body of an error, or the first event of a stream."""
    refusal = error(NAMED)
    assert stated_error(400, refusal) == refusal
    assert stated_error(500, b"") == b""
    assert stated_error(200, refusal) == refusal
    assert stated_error(200, b": hello\n\n" + event(refusal)) == refusal
    assert stated_error(200, event(b"stream_options not supported", b"error")) is not None
    assert stated_error(200, event(refusal)[:-1]) is None
    assert stated_error(200, event(b'{"choices":[]}') + event(refusal)) is None
    assert stated_error(200, event(b'{"choices":[]}', b"error")) is not None
    assert stated_error(200, b"") is None
