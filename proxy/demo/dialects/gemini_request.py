"""Reads the request of a Gemini generation; model and stream stand in its path.

As in the endpoint's own reading, every name may be spelt in camel or in snake case.
"""

import re
from collections.abc import Iterator
from typing import Any

from cab.proxy.demo.dialects.chat_request import ChatRequest, text_in
from cab.proxy.demo.dialects.fields import (
    is_list,
    is_object,
    items_of,
    object_of,
    read_object,
    refuse,
)
from cab.proxy.demo.dialects.merge import merged

_HUMP = re.compile(r"(?=[A-Z])")


def read_generation_request(body: bytes, model: str, *, stream: bool) -> ChatRequest:
    """Return the request that a body holds.

    Raises:
        BadChat: The body is no JSON object, or a field is missing or of the wrong type.
    """
    data = read_object(body)
    config = _inner(data, "generationConfig")
    called = _inner(_inner(data, "toolConfig"), "functionCallingConfig")
    schema = _inner(config, "responseJsonSchema") or _inner(config, "responseSchema")
    return ChatRequest(
        model=model,
        messages=_messages(data),
        tools=[*_tools(_list(data, "tools"))],
        may_call=called.get("mode") != "NONE",
        stream=stream,
        include_usage=True,
        choices=1,
        schema=_lowered(schema) or None,
        thinks=_member(_inner(config, "thinkingConfig"), "includeThoughts") is True,
    )


def _messages(data: dict[str, Any]) -> list[dict[str, Any]]:
    rules = _text(_member(data, "systemInstruction"))
    head = [{"role": "system", "content": rules}] if rules else []
    contents = _list(data, "contents") or refuse("contents is missing or empty", "contents")
    said: list[dict[str, Any]] = []
    for number, content in enumerate(contents):
        if not is_object(content):
            refuse("every content is an object", f"contents[{number}]")
        said.append({"role": _role(content), "content": _text(content)})
    return merged([*head, *said])


def _role(content: dict[str, Any]) -> str:
    if content.get("role") == "model":
        return "assistant"
    parts = [object_of(part) for part in items_of(content.get("parts"))]
    return "tool" if any(_member(part, "functionResponse") for part in parts) else "user"


def _text(content: object) -> str:
    """Return the text of a content: its parts, or a bare string."""
    return content if isinstance(content, str) else text_in(object_of(content).get("parts"))


def _tools(tools: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield the functions in the form of a chat completion."""
    for tool in filter(is_object, tools):
        for declared in filter(is_object, items_of(_member(tool, "functionDeclarations"))):
            schema = _inner(declared, "parametersJsonSchema") or _inner(declared, "parameters")
            function = {"name": declared.get("name"), "parameters": _lowered(schema)}
            yield {"type": "function", "function": function}


def _lowered(value: Any) -> Any:  # noqa: ANN401 - JSON in, JSON out
    """Return a schema with its types in lower case; Gemini's own schemas write them in upper case."""
    if is_list(value):
        return [_lowered(inner) for inner in value]
    if not is_object(value):
        return value
    kind = value.get("type")
    inner = {name: _lowered(member) for name, member in value.items()}
    return {**inner, "type": kind.lower()} if isinstance(kind, str) else inner


def _list(data: dict[str, Any], name: str) -> list[Any]:
    """Return a member that is a list; one thing alone stands for a list of it."""
    value = _member(data, name)
    if value is None:
        return []
    return value if is_list(value) else [value]


def _inner(data: dict[str, Any], name: str) -> dict[str, Any]:
    return object_of(_member(data, name))


def _member(data: dict[str, Any], name: str) -> object:
    """Return a member in either spelling."""
    value = data.get(name)
    return data.get(_HUMP.sub("_", name).lower()) if value is None else value
