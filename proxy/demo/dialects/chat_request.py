"""What the demo looks at in a request, whatever the dialect, and how a chat completion's is read."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from cab.proxy.demo.dialects.fields import (
    BadChat,
    is_list,
    is_object,
    list_of,
    messages_in,
    object_of,
    read_object,
    refuse,
    scalar,
)

__all__ = ["MAX_CHOICES", "BadChat", "ChatRequest", "read_request", "texts_of"]

MAX_CHOICES = 16
"""Most answers that one request may ask for."""


class ChatRequest(NamedTuple):
    """What the demo looks at in a request; its messages and tools are those of a chat completion."""

    model: str
    messages: list[dict[str, Any]]
    tools: list[Any]
    may_call: bool
    """Whether tools may be called: `tool_choice` is not `none`."""
    stream: bool
    include_usage: bool
    choices: int
    schema: dict[str, Any] | None = None
    """JSON schema that the answer must have; None if any words will do."""
    thinks: bool = False
    """Whether the client wants to be told what the model thought."""


def read_request(body: bytes) -> ChatRequest:
    """Return the request that a chat completion's body holds.

    Raises:
        BadChat: The body is no JSON object, or a field is missing or of the wrong type.
    """
    data = read_object(body)
    stream = scalar(data, "stream", bool) or False
    form = object_of(object_of(data.get("response_format")).get("json_schema"))
    return ChatRequest(
        model=scalar(data, "model", str) or refuse("model is missing", "model"),
        messages=messages_in(data),
        tools=list_of(data, "tools"),
        may_call=data.get("tool_choice") != "none",
        stream=stream,
        include_usage=_include_usage(data, stream=stream),
        choices=_choices(data),
        schema=object_of(form.get("schema")) or None,
    )


def texts_of(messages: Iterable[dict[str, Any]], *roles: str) -> list[str]:
    """Return the texts of the messages with these roles, one text for each message."""
    return [text_in(message.get("content")) for message in messages if message["role"] in roles]


def text_in(content: object) -> str:
    """Return the text of a message's content: a string, or parts of which some have a text."""
    if isinstance(content, str):
        return content
    parts = content if is_list(content) else []
    texts = [object_of(part).get("text") for part in parts]
    return "\n".join(text for text in texts if isinstance(text, str))


def _include_usage(data: dict[str, Any], *, stream: bool) -> bool:
    options = data.get("stream_options")
    if options is None:
        return False
    if not is_object(options):
        refuse("stream_options is no object", "stream_options")
    if not stream:
        refuse("stream_options goes with stream: true only", "stream_options")
    return scalar(options, "include_usage", bool) or False


def _choices(data: dict[str, Any]) -> int:
    choices = scalar(data, "n", int)
    if choices is None:
        return 1
    return choices if 1 <= choices <= MAX_CHOICES else refuse(f"n is 1 to {MAX_CHOICES}", "n")
