"""Reads the request of an Anthropic message."""

from collections.abc import Iterator

from cab.proxy.demo.dialects.fields import (
    list_of,
    model_of,
    objects_in,
    read_object,
    reject,
    scalar,
    schema_in,
)
from cab.proxy.demo.dialects.request import (
    ChatRequest,
    Message,
    conversation,
    function_tool,
    messages_in,
    text_in,
)
from cab.proxy.meter.json_values import JsonObject, as_object


def read_message_request(body: bytes) -> ChatRequest:
    """Return the request that a body holds.

    Raises:
        BadChat: The body is not a JSON object, or a field is missing or of the wrong type.
    """
    data = read_object(body)
    if not scalar(data, "max_tokens", int):
        reject("max_tokens is missing", "max_tokens")
    form = as_object(data.get("output_config")).get("format") or data.get("output_format")
    return ChatRequest(
        model=model_of(data),
        messages=conversation(text_in(data.get("system")), _messages(data)),
        tools=[*_tools(list_of(data, "tools"))],
        may_call=as_object(data.get("tool_choice")).get("type") != "none",
        stream=scalar(data, "stream", bool) or False,
        schema=schema_in(form),
    )


def _messages(data: JsonObject) -> Iterator[Message]:
    """Yield the tool results that each message brings as messages, and then its words."""
    for message in messages_in(data):
        content = message.get("content")
        results = [block for block in objects_in(content) if block.get("type") == "tool_result"]
        for block in results:
            yield {"role": "tool", "content": text_in(block.get("content"))}
        text = text_in(content)
        if text or not results:
            yield {"role": message["role"], "content": text}


def _tools(tools: list[object]) -> Iterator[JsonObject]:
    for tool in objects_in(tools):
        # The other types are tools that the endpoint runs.
        if tool.get("type") in (None, "custom"):
            yield function_tool(tool.get("name"), tool.get("input_schema"))
