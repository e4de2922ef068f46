from typing import Any

import orjson
import pytest

from cab.proxy.demo.tool import Tool, filled, read_tools, types_of


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        (
            {"properties": {"title": {"type": "string"}, "next": {"enum": ["user", "model"]}}},
            {"title": "why", "next": "user"},
        ),
        ({"properties": {"odd": 7}}, {"odd": "why"}),
        ({"properties": []}, {}),
        ({}, {}),
    ],
)
def test_an_answer_to_a_schema_fits_it(schema: dict[str, Any], answer: dict[str, Any]) -> None:
    """Each member of the schema has a value of its type."""
    assert orjson.loads(filled(schema, "why")) == answer


def test_function_tools_and_custom_ones_are_read() -> None:
    """Functions have properties, custom tools take a bare text; other kinds are passed over."""
    path: dict[str, object] = {"type": "string"}
    schema = {"properties": {"path": path, "odd": 7}, "required": ["path"]}
    offered = [
        {"type": "function", "function": {"name": "read", "parameters": schema}},
        {"type": "function", "function": {"name": "odd", "parameters": {"required": 7}}},
        {"type": "custom", "custom": {"name": "apply_patch"}},
        {"type": "web_search"},
        "odd",
    ]
    assert read_tools(offered) == [
        Tool("read", {"path": path}, ["path"]),
        Tool("odd", {}, []),
        Tool("apply_patch", {}, [], freeform=True),
    ]


def test_what_a_list_holds_is_read_like_a_tool() -> None:
    """A list of objects has their properties, a list of texts has none, and other members are not a list."""
    [tool] = read_tools(
        [
            {
                "function": {
                    "name": "many",
                    "parameters": {
                        "properties": {
                            "files": {
                                "type": "array",
                                "items": {"properties": {"path": {}}, "required": ["path"]},
                            },
                            "names": {"type": "array", "items": {"type": "string"}},
                            "text": {"type": "string"},
                        }
                    },
                }
            }
        ]
    )
    assert tool.list_of(("files",)) == Tool("files", {"path": {}}, ["path"])
    names = tool.list_of(("text", "names"))
    assert names is not None
    assert names.takes_text
    assert tool.list_of(("text", "absent")) is None


def test_a_schema_without_a_type_is_a_text() -> None:
    """A schema allows the types that it names, and a text where it names none."""
    assert types_of({"type": ["array", "null"]}) == ["array", "null"]
    assert types_of({"type": "object"}) == ["object"]
    assert types_of({}) == ["string"]
