import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.demo.dialects.chat_request import BadChat, ChatRequest, read_request, texts_of

HELLO = [{"role": "user", "content": "hi"}]


def read(**fields: Any) -> ChatRequest:
    return read_request(orjson.dumps({"model": "m", "messages": HELLO, **fields}))


def test_a_plain_request() -> None:
    """A request with model and messages only is one answer, not streamed, without tools."""
    assert read() == ChatRequest("m", HELLO, [], True, False, False, 1)


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


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b'{"messages": [{"role": "user"}]}', "model"),
        (b'{"model": 4, "messages": [{"role": "user"}]}', "model"),
        (b'{"model": "m"}', "messages"),
        (b'{"model": "m", "messages": []}', "messages"),
        (b'{"model": "m", "messages": {}}', "messages"),
        (b'{"model": "m", "messages": ["hi"]}', "messages[0]"),
        (b'{"model": "m", "messages": [{"role": "user"}, {}]}', "messages[1]"),
        (b'{"model": "m", "messages": [{"role": "user"}], "stream": 1}', "stream"),
        (b'{"model": "m", "messages": [{"role": "user"}], "n": true}', "n"),
        (b'{"model": "m", "messages": [{"role": "user"}], "n": 0}', "n"),
        (b'{"model": "m", "messages": [{"role": "user"}], "n": 17}', "n"),
        (b'{"model": "m", "messages": [{"role": "user"}], "tools": {}}', "tools"),
        (
            b'{"model": "m", "messages": [{"role": "user"}], "stream_options": {}}',
            "stream_options",
        ),
        (
            b'{"model": "m", "messages": [{"role": "user"}], "stream": true, "stream_options": 1}',
            "stream_options",
        ),
        (
            b'{"model": "m", "messages": [{"role": "user"}], "stream": true,'
            b' "stream_options": {"include_usage": "yes"}}',
            "include_usage",
        ),
    ],
)
def test_bad_requests_name_the_field(body: bytes, param: str | None) -> None:
    """A request that an endpoint would refuse is refused, and the field is named."""
    with pytest.raises(BadChat) as caught:
        read_request(body)
    assert caught.value.param == param


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    """Whatever bytes come, they are a request or a refusal."""
    with contextlib.suppress(BadChat):
        assert read_request(body).choices >= 1


def test_texts_of_all_kinds_of_content() -> None:
    """The text of a message is its string, or its text parts joined; others have none."""
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "not asked for"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "two"}, {"type": "image_url"}, "odd"],
        },
        {"role": "system", "content": None},
    ]
    assert texts_of(messages, "user", "system") == ["one", "two", ""]
