"""Reads the request of a chat completion."""

from cab.proxy.demo.dialects.fields import list_of, model_of, read_object, reject, scalar, schema_in
from cab.proxy.demo.dialects.request import ChatRequest, messages_in
from cab.proxy.meter.json_values import JsonObject, as_object, is_object

MAX_CHOICES = 16
"""Most answers that one request may ask for."""


def read_request(body: bytes) -> ChatRequest:
    """Return the request that a body holds.

    Raises:
        BadChat: The body is not a JSON object, or a field is missing or of the wrong type.
    """
    data = read_object(body)
    stream = scalar(data, "stream", bool) or False
    return ChatRequest(
        model=model_of(data),
        messages=messages_in(data),
        tools=list_of(data, "tools"),
        may_call=data.get("tool_choice") != "none",
        stream=stream,
        include_usage=_include_usage(data, stream=stream),
        choices=_choices(data),
        schema=schema_in(as_object(data.get("response_format")).get("json_schema")),
    )


def _include_usage(data: JsonObject, *, stream: bool) -> bool:
    options = data.get("stream_options")
    if options is None:
        return False
    if not is_object(options):
        reject("stream_options is not an object", "stream_options")
    if not stream:
        reject("stream_options goes with stream: true only", "stream_options")
    return scalar(options, "include_usage", bool) or False


def _choices(data: JsonObject) -> int:
    choices = scalar(data, "n", int)
    if choices is None:
        return 1
    return choices if 1 <= choices <= MAX_CHOICES else reject(f"n is 1 to {MAX_CHOICES}", "n")
