from typing import Any

import pytest

from cab.proxy.demo.dialects.request import ChatRequest
from tests.proxy.demo.dialects.reading import HELLO, reader

read = reader("chat")


def test_a_plain_request() -> None:
    """A request with model and messages only is one answer, not streamed, without tools or usage."""
    assert read() == ChatRequest("m", HELLO, [], may_call=True, stream=False, include_usage=False)


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, False),
        ({"stream_options": None}, False),
        ({"stream_options": {}}, False),
        ({"stream_options": {"include_usage": None}}, False),
        ({"stream_options": {"include_usage": False}}, False),
        ({"stream_options": {"include_obfuscation": False}}, False),
        ({"stream_options": {"include_usage": True}}, True),
    ],
)
def test_usage_is_included_only_where_asked_for(options: dict[str, Any], asked: bool) -> None:
    """`include_usage` counts when it is true, in every other form it is off."""
    assert read(stream=True, **options).include_usage is asked


@pytest.mark.parametrize(("choice", "may"), [("none", False), ("auto", True), (None, True)])
def test_tool_choice(choice: str | None, may: bool) -> None:
    """Only `tool_choice: none` forbids tools."""
    assert read(tool_choice=choice).may_call is may
