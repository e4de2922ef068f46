"""Reads the request of an Anthropic message."""

from collections.abc import Iterator
from typing import Any

from cab.proxy.demo.dialects.chat_request import ChatRequest, text_in
from cab.proxy.demo.dialects.fields import (
    is_object,
    items_of,
    list_of,
    messages_in,
    object_of,
    read_object,
    refuse,
    scalar,
)
from cab.proxy.demo.dialects.merge import merged


def read_message_request(body: bytes) -> ChatRequest:
    """Return the request that a body holds.

    Raises:
        BadChat: The body is no JSON object, or a field is missing or of the wrong type.
    """
    data = read_object(body)
    if not scalar(data, "max_tokens", int):
        refuse("max_tokens is missing", "max_tokens")
    form = object_of(data.get("output_config")).get("format") or data.get("output_format")
    return ChatRequest(
        model=scalar(data, "model", str) or refuse("model is missing", "model"),
        messages=_messages(data),
        tools=[*_tools(list_of(data, "tools"))],
        may_call=object_of(data.get("tool_choice")).get("type") != "none",
        stream=scalar(data, "stream", bool) or False,
        include_usage=True,
        choices=1,
        schema=object_of(object_of(form).get("schema")) or None,
    )


def _messages(data: dict[str, Any]) -> list[dict[str, Any]]:
    rules = text_in(data.get("system"))
    head = [{"role": "system", "content": rules}] if rules else []
    messages = messages_in(data)
    return merged([*head, *(said for message in messages for said in _said(message))])


def _said(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what a message says, and apart from it the tool results that it brings."""
    content, role = message.get("content"), message["role"]
    blocks = [block for block in items_of(content) if is_object(block)]
    results = [block for block in blocks if block.get("type") == "tool_result"]
    for block in results:
        yield {"role": "tool", "content": text_in(block.get("content"))}
    text = text_in(content)
    if text or not results:
        yield {"role": role, "content": text}


def _tools(tools: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield the tools that the client runs, in the form of a chat completion."""
    for tool in filter(is_object, tools):
        if tool.get("type") in (None, "custom"):
            function = {"name": tool.get("name"), "parameters": tool.get("input_schema")}
            yield {"type": "function", "function": function}
