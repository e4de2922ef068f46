"""Reads the request of an OpenAI response."""

from collections.abc import Iterator
from typing import Any

from cab.proxy.demo.dialects.chat_request import ChatRequest, text_in
from cab.proxy.demo.dialects.fields import (
    is_list,
    is_object,
    items_of,
    list_of,
    object_of,
    read_object,
    refuse,
    scalar,
)
from cab.proxy.demo.dialects.merge import merged

_STATE = ("previous_response_id", "conversation")
"""Fields by which a client leaves the history to the endpoint."""
_LATER = "additional_tools"
"""Type of an item that offers tools in the midst of a conversation."""


def read_response_request(body: bytes) -> ChatRequest:
    """Return the request that a body holds.

    Raises:
        BadChat: The body is no JSON object, a field is missing or of the wrong type, or the request
            builds on an answer that the endpoint should have kept.
    """
    data = read_object(body)
    form = object_of(object_of(data.get("text")).get("format"))
    return ChatRequest(
        model=scalar(data, "model", str) or refuse("model is missing", "model"),
        messages=_messages(data),
        tools=[*_tools(list_of(data, "tools")), *_later_tools(data)],
        may_call=data.get("tool_choice") != "none",
        stream=scalar(data, "stream", bool) or False,
        include_usage=True,
        choices=1,
        schema=object_of(form.get("schema")) or None,
    )


def _messages(data: dict[str, Any]) -> list[dict[str, Any]]:
    for name in _STATE:
        if data.get(name):
            refuse("the demo keeps no answers; send the whole input", name)
    rules = scalar(data, "instructions", str)
    head = [{"role": "system", "content": rules}] if rules else []
    given = data.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not is_list(items) or not items:
        refuse("input is missing, empty, or neither text nor list", "input")
    said = [_message(item, n) for n, item in enumerate(items)]
    return merged([*head, *(message for message in said if message is not None)])


def _message(item: object, number: int) -> dict[str, Any] | None:
    if not is_object(item):
        refuse("every item of the input is an object", f"input[{number}]")
    kind = item.get("type")
    if kind in (None, "message"):
        role = item.get("role")
        if not isinstance(role, str):
            refuse("a message has a role", f"input[{number}]")
        return {"role": role, "content": text_in(item.get("content"))}
    if str(kind).endswith("_output"):
        return {"role": "tool", "content": text_in(item.get("output"))}
    if kind == _LATER:
        return None
    # What is left is the model's own: its thoughts and its calls.
    return {"role": "assistant", "content": ""}


def _later_tools(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the tools that stand among the items of the input; one namespace is that of functions."""
    for item in filter(is_object, items_of(data.get("input"))):
        if item.get("type") == _LATER:
            tools = [tool for tool in items_of(item.get("tools")) if is_object(tool)]
            functions = [tool for tool in tools if tool.get("name") == "functions"]
            yield from _tools([*tools, *(t for f in functions for t in items_of(f.get("tools")))])


def _tools(tools: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield the tools in the form of a chat completion, where the definition stands one level down."""
    for tool in filter(is_object, tools):
        kind = tool.get("type")
        if kind in ("function", "custom"):
            yield {"type": kind, kind: tool}
