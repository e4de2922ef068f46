"""Reads the request of an OpenAI response."""

from collections.abc import Iterator

from cab.proxy.demo.dialects.fields import (
    is_list,
    list_of,
    model_of,
    objects_in,
    read_object,
    reject,
    scalar,
    schema_in,
)
from cab.proxy.demo.dialects.request import ChatRequest, Message, conversation, text_in
from cab.proxy.meter.json_values import JsonObject, as_list, as_object, is_object

_STATE = ("previous_response_id", "conversation")
"""Fields by which a client leaves the history to the endpoint."""
_LATER = "additional_tools"
"""Type of an item that offers tools in the middle of a conversation."""


def read_response_request(body: bytes) -> ChatRequest:
    """Return the request that a body holds.

    Raises:
        BadChat: The body is not a JSON object, a field is missing or of the wrong type, or the
            request builds on an answer that the endpoint should have kept.
    """
    data = read_object(body)
    return ChatRequest(
        model=model_of(data),
        messages=_messages(data),
        tools=[*_tools(list_of(data, "tools")), *_later_tools(data)],
        may_call=data.get("tool_choice") != "none",
        stream=scalar(data, "stream", bool) or False,
        schema=schema_in(as_object(data.get("text")).get("format")),
    )


def _messages(data: JsonObject) -> list[Message]:
    for name in _STATE:
        if data.get(name):
            reject("the demo keeps no answers; send the whole input", name)
    given = data.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not is_list(items) or not items:
        reject("input is missing, empty, or neither text nor list", "input")
    messages = [_message(item, number) for number, item in enumerate(items)]
    return conversation(scalar(data, "instructions", str), filter(None, messages))


def _message(item: object, number: int) -> Message | None:
    if not is_object(item):
        reject("every item of the input is an object", f"input[{number}]")
    kind = item.get("type")
    if kind in (None, "message"):
        role = item.get("role")
        if not isinstance(role, str):
            reject("a message has a role", f"input[{number}]")
        return {"role": role, "content": text_in(item.get("content"))}
    if str(kind).endswith("_output"):
        return {"role": "tool", "content": text_in(item.get("output"))}
    if kind == _LATER:
        return None
    # What is left is the model's own: its thoughts and its calls.
    return {"role": "assistant", "content": ""}


def _later_tools(data: JsonObject) -> Iterator[JsonObject]:
    """Yield the tools that are among the items of the input; one namespace is that of functions."""
    for item in objects_in(data.get("input")):
        if item.get("type") == _LATER:
            tools = objects_in(item.get("tools"))
            functions = [tool for tool in tools if tool.get("name") == "functions"]
            yield from _tools([*tools, *(t for f in functions for t in as_list(f.get("tools")))])


def _tools(tools: list[object]) -> Iterator[JsonObject]:
    """Yield the tools in the form of a chat completion, which has the definition one level down."""
    for tool in objects_in(tools):
        kind = tool.get("type")
        if kind in ("function", "custom"):
            yield {"type": kind, str(kind): tool}
