"""Reads a chat completion request, and refuses what an endpoint would refuse."""

from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn, TypeGuard, TypeVar

import orjson

Scalar = TypeVar("Scalar", bool, int, str)

MAX_CHOICES = 16
"""Most answers that one request may ask for."""


class BadChat(Exception):
    """A request that is answered with 400; `param` names the field."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class ChatRequest(NamedTuple):
    """What the demo looks at in a request."""

    model: str
    messages: list[dict[str, Any]]
    tools: list[Any]
    may_call: bool
    """Whether tools may be called: `tool_choice` is not `none`."""
    stream: bool
    include_usage: bool
    choices: int


def read_request(body: bytes) -> ChatRequest:
    """Return the request that a body holds.

    Raises:
        BadChat: The body is no JSON object, or a field is missing or of the wrong type.
    """
    data = _body(body)
    stream = _scalar(data, "stream", bool) or False
    return ChatRequest(
        model=_scalar(data, "model", str) or _refuse("model is missing", "model"),
        messages=_messages(data),
        tools=_list(data, "tools"),
        may_call=data.get("tool_choice") != "none",
        stream=stream,
        include_usage=_include_usage(data, stream=stream),
        choices=_choices(data),
    )


def texts_of(messages: Iterable[dict[str, Any]], *roles: str) -> list[str]:
    """Return the texts of the messages with these roles, one text for each message."""
    return [_text(message.get("content")) for message in messages if message["role"] in roles]


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if is_list(content) else []
    texts = [part.get("text") for part in parts if is_object(part)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _body(body: bytes) -> dict[str, Any]:
    try:
        data: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadChat(f"the body is no JSON: {error}") from error
    return data if is_object(data) else _refuse("the body is no JSON object")


def _messages(data: dict[str, Any]) -> list[dict[str, Any]]:
    messages = _list(data, "messages") or _refuse("messages is missing or empty", "messages")
    for number, message in enumerate(messages):
        if not is_object(message) or not isinstance(message.get("role"), str):
            _refuse("every message is an object with a role", f"messages[{number}]")
    return messages


def _include_usage(data: dict[str, Any], *, stream: bool) -> bool:
    options = data.get("stream_options")
    if options is None:
        return False
    if not is_object(options):
        _refuse("stream_options is no object", "stream_options")
    if not stream:
        _refuse("stream_options goes with stream: true only", "stream_options")
    return _scalar(options, "include_usage", bool) or False


def _choices(data: dict[str, Any]) -> int:
    choices = _scalar(data, "n", int)
    if choices is None:
        return 1
    return choices if 1 <= choices <= MAX_CHOICES else _refuse(f"n is 1 to {MAX_CHOICES}", "n")


def _scalar(data: dict[str, Any], key: str, kind: type[Scalar]) -> Scalar | None:
    """Return a member of that type, None if it is absent or null."""
    value = data.get(key)
    # bool is a kind of int in Python, not in JSON.
    if value is None or type(value) is kind:
        return value
    return _refuse(f"{key} is no {kind.__name__}", key)


def _list(data: dict[str, Any], key: str) -> list[Any]:
    value = data.get(key)
    if value is None:
        return []
    return value if is_list(value) else _refuse(f"{key} is no list", key)


def _refuse(message: str, param: str | None = None) -> NoReturn:
    raise BadChat(message, param)


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a parsed JSON value is an object; its names are strings then."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Return whether a parsed JSON value is a list."""
    return isinstance(value, list)
