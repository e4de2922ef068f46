"""What the demo knows of the tools that an agent offers, and how their arguments are filled in."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson

from cab.proxy.demo.dialects.fields import is_list
from cab.proxy.meter.json_values import JsonObject, as_list, as_object, is_object

SHELL_IN_SCRIPTS = "tools.exec_command"
"""What the shell is called in the scripts that Codex runs; the description of its tool says so."""


class ToolCall(NamedTuple):
    """A call of one of the agent's tools."""

    name: str
    arguments: str
    """A JSON object as text; what the tool takes as it stands if the call is freeform."""
    freeform: bool = False
    """Whether the tool takes a text instead of JSON arguments."""


class Tool(NamedTuple):
    """What the demo needs to know of a tool that is offered."""

    name: str
    properties: dict[str, JsonObject]
    required: list[str]
    freeform: bool = False
    """Whether it takes a text instead of JSON arguments."""
    runs_scripts: bool = False
    """Whether that text is JavaScript, from which a shell can be called."""

    def key(self, names: Iterable[str]) -> str | None:
        """Return the first of the names that the tool takes as a free text."""
        return next((name for name in names if self._is_text(name)), None)

    @property
    def takes_text(self) -> bool:
        """Whether it takes a bare text instead of an object."""
        return not self.properties

    def list_of(self, names: Iterable[str]) -> "Tool | None":
        """Return what the first of the names, a list, holds: under its name, as if it were a tool."""
        for name in names:
            schema = self.properties.get(name, {})
            if "array" in types_of(schema):
                return _tool({"name": name, "parameters": schema.get("items")})
        return None

    def commands(self) -> list[str]:
        """Return the words that a tool of many uses, such as an editor, takes as its command."""
        words = self.properties.get("command", {}).get("enum")
        return [str(word) for word in as_list(words)]

    def call(self, arguments: dict[str, Any], note: str) -> ToolCall:
        """Return a call with these arguments and something for whatever else must be there."""
        missing = (name for name in self.required if name not in arguments)
        filled = {name: _filler(self.properties.get(name, {}), note) for name in missing}
        return ToolCall(self.name, orjson.dumps({**arguments, **filled}).decode())

    def _is_text(self, name: str) -> bool:
        schema = self.properties.get(name)
        return schema is not None and "string" in types_of(schema) and "enum" not in schema


def read_tools(tools: Sequence[object]) -> list[Tool]:
    """Return the tools of a request that its client runs; any other kind is passed over."""
    found: list[Tool] = []
    for tool in filter(is_object, tools):
        function, custom = tool.get("function"), tool.get("custom")
        if is_object(function):
            found.append(_tool(function))
        elif is_object(custom):
            scripts = SHELL_IN_SCRIPTS in str(custom.get("description"))
            name = str(custom.get("name"))
            found.append(Tool(name, {}, [], freeform=True, runs_scripts=scripts))
    return found


def _tool(function: JsonObject) -> Tool:
    schema = as_object(function.get("parameters"))
    properties = as_object(schema.get("properties"))
    return Tool(
        name=str(function.get("name")),
        properties={key: value for key, value in properties.items() if is_object(value)},
        required=[str(name) for name in as_list(schema.get("required"))],
    )


def filled(schema: JsonObject, note: str) -> str:
    """Return JSON text that fits a schema, for clients that want such an answer."""
    properties = as_object(schema.get("properties"))
    values = {name: _filler(as_object(value), note) for name, value in properties.items()}
    return orjson.dumps(values).decode()


def _filler(schema: JsonObject, note: str) -> object:
    """Return a value that the schema takes, for an argument that means nothing to the demo."""
    choices = as_list(schema.get("enum"))
    if choices:
        return choices[0]
    fillers: JsonObject = {
        "string": note,
        "boolean": False,
        "integer": schema.get("minimum", 1),
        "number": schema.get("minimum", 1),
        "array": [],
        "object": {},
    }
    return next((fillers[kind] for kind in types_of(schema) if kind in fillers), note)


def types_of(schema: JsonObject) -> list[str]:
    """Return the types that a schema allows; one that names none allows a text."""
    kinds = schema.get("type", "string")
    return [str(kind) for kind in kinds] if is_list(kinds) else [str(kinds)]
