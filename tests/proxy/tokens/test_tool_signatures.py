from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.proxy.tokens import tool_signatures
from cab.proxy.tokens.tool_signatures import namespace
from tests.proxy.forwarding.jsonlike import json_values


def tool(name: str, properties: Any = None, **more: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties or {}, **more}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def signature(*args: Any, **more: Any) -> str:
    """The signature of one tool, without the namespace around it."""
    text = namespace([tool(*args, **more)])
    return text.removeprefix("namespace functions {\n\n").removesuffix(
        "\n\n} // namespace functions"
    )


def test_a_namespace_holds_all_tools() -> None:
    """Tools keep their order, chat's and the flat ones of responses alike."""
    flat = {
        "type": "function",
        "name": "look",
        "description": "Looks.\n\n  Closely.",
        "parameters": {},
    }
    assert namespace([flat, tool("run"), "odd"]) == (
        "namespace functions {\n\n"
        "// Looks.\n//\n// Closely.\n"
        "type look = () => any;\n\n"
        "type run = () => any;\n\n"
        "type  = () => any;\n\n"
        "} // namespace functions"
    )


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        ({"type": "string"}, "string"),
        ({"type": "integer"}, "number"),
        ({"type": "number"}, "number"),
        ({"type": "boolean"}, "boolean"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"type": "string", "enum": ["a", "b"]}, '"a" | "b"'),
        ({"const": 3}, "3"),
        ({"type": "array", "items": {"type": "string"}}, "string[]"),
        ({"type": "array"}, "any[]"),
        ({"type": "object"}, "object"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string | null"),
        ({"oneOf": [{"type": "integer"}]}, "number"),
        ({"type": "object", "properties": {"y": {"type": "string"}}}, "{ y?: string }"),
        ({"type": "mystery"}, "any"),
        ({}, "any"),
        (7, "any"),
        ({"$ref": "#/$defs/Point"}, "{ y: number }"),
        ({"$ref": "#/$defs/Loop"}, "any"),
        ({"$ref": "#/$defs/Nowhere"}, "any"),
    ],
)  # fmt: skip
def test_types(schema: Any, written: str) -> None:
    """Each kind of schema is written as its TypeScript type."""
    point = {"type": "object", "properties": {"y": {"type": "number"}}, "required": ["y"]}
    definitions = {"Point": point, "Loop": {"$ref": "#/$defs/Loop"}}
    text = signature("f", {"x": schema}, required=["x"], **{"$defs": definitions})
    assert text == f"type f = (_: {{ x: {written} }}) => any;"


def test_what_has_a_comment_has_lines_of_its_own() -> None:
    """Titles, descriptions and defaults become comments, with two spaces more for each level."""
    properties = {
        "a": {"type": "string", "title": "A", "description": "First\n  of two", "default": "x"},
        "b": {"type": "object", "properties": {"c": {"type": "number", "description": "Inner"}}},
    }
    assert signature("f", properties, required=["a"], title="f_args") == (
        "type f = (_: {\n"
        "// f_args\n"
        "// A\n"
        "// First\n"
        "// of two\n"
        'a: string, // default: "x"\n'
        "b?: {\n"
        "  // Inner\n"
        "  c?: number,\n"
        "  },\n"
        "}) => any;"
    )


def test_references_cannot_multiply_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A schema that refers to itself ends at a depth, one that fans out at a size."""
    deep = {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}}
    text = signature("f", {"n": {"$ref": "#/$defs/Node"}}, **{"$defs": deep})
    assert text.count("next") == tool_signatures._MOST_LEVELS
    monkeypatch.setattr(tool_signatures, "MOST_CHARS", 100_000)
    many = {f"p{i}": {"$ref": "#/$defs/Node"} for i in range(9)}
    wide = {"Node": {"type": "object", "description": "d" * 500, "properties": many}}
    assert len(signature("f", many, **{"$defs": wide})) < 10 * tool_signatures.MOST_CHARS


@given(st.lists(json_values | st.builds(lambda p: tool("t", {"a": p}), json_values), max_size=3))
@settings(deadline=None)
def test_no_definition_breaks_it(tools: list[Any]) -> None:
    """Whatever JSON is given as tools, a text comes back that can be written as UTF-8."""
    orjson.dumps(namespace(tools))
