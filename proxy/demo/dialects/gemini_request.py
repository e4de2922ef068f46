"""Reads the request of a Gemini generation; model and stream come from its path.

As in the endpoint's own reading, every name may be spelt in camel or in snake case.
"""

import re
from collections.abc import Iterator

from cab.proxy.demo.dialects.fields import is_list, objects_in, read_object, reject
from cab.proxy.demo.dialects.request import (
    ChatRequest,
    Message,
    conversation,
    function_tool,
    text_in,
)
from cab.proxy.meter.json_values import JsonObject, as_object, is_object

_HUMP = re.compile(r"(?=[A-Z])")


def read_generation_request(body: bytes, model: str, *, stream: bool) -> ChatRequest:
    """Return the request that a body holds.

    Raises:
        BadChat: The body is not a JSON object, or a field is missing or of the wrong type.
    """
    data = read_object(body)
    config = _object(data, "generationConfig")
    called = _object(_object(data, "toolConfig"), "functionCallingConfig")
    schema = _object(config, "responseJsonSchema") or _object(config, "responseSchema")
    return ChatRequest(
        model=model,
        messages=conversation(_text(_member(data, "systemInstruction")), _messages(data)),
        tools=[*_tools(_list(data, "tools"))],
        may_call=called.get("mode") != "NONE",
        stream=stream,
        schema=as_object(_lowered(schema)) or None,
        thinks=_member(_object(config, "thinkingConfig"), "includeThoughts") is True,
    )


def _messages(data: JsonObject) -> Iterator[Message]:
    contents = _list(data, "contents") or reject("contents is missing or empty", "contents")
    for number, content in enumerate(contents):
        if not is_object(content):
            reject("every content is an object", f"contents[{number}]")
        yield {"role": _role(content), "content": _text(content)}


def _role(content: JsonObject) -> str:
    if content.get("role") == "model":
        return "assistant"
    parts = objects_in(content.get("parts"))
    return "tool" if any(_member(part, "functionResponse") for part in parts) else "user"


def _text(content: object) -> str:
    """Return the text of a content: its parts, or a bare string."""
    return content if isinstance(content, str) else text_in(as_object(content).get("parts"))


def _tools(tools: list[object]) -> Iterator[JsonObject]:
    for tool in objects_in(tools):
        for declared in objects_in(_member(tool, "functionDeclarations")):
            schema = _object(declared, "parametersJsonSchema") or _object(declared, "parameters")
            yield function_tool(declared.get("name"), _lowered(schema))


def _lowered(value: object) -> object:
    """Return a schema with its types in lower case; Gemini's own schemas have them in upper case."""
    if is_list(value):
        return [_lowered(item) for item in value]
    if not is_object(value):
        return value
    kind = value.get("type")
    members = {name: _lowered(member) for name, member in value.items()}
    return {**members, "type": kind.lower()} if isinstance(kind, str) else members


def _list(data: JsonObject, name: str) -> list[object]:
    """Return a member that is a list; one thing alone counts as a list of it."""
    value = _member(data, name)
    if value is None:
        return []
    return value if is_list(value) else [value]


def _object(data: JsonObject, name: str) -> JsonObject:
    return as_object(_member(data, name))


def _member(data: JsonObject, name: str) -> object:
    """Return a member in either spelling."""
    value = data.get(name)
    return data.get(_HUMP.sub("_", name).lower()) if value is None else value
