import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.demo.dialects.chat_request import ChatRequest, texts_of
from cab.proxy.demo.dialects.fields import BadChat
from cab.proxy.demo.dialects.messages_request import read_message_request
from tests.proxy.forwarding.jsonlike import request_like

HELLO = [{"role": "user", "content": "hi"}]
SCHEMA = {"type": "object", "properties": {"command": {"type": "string"}}}


def read(**fields: Any) -> ChatRequest:
    plain = {"model": "m", "max_tokens": 9, "messages": HELLO}
    return read_message_request(json.dumps({**plain, **fields}).encode())


def test_a_plain_request() -> None:
    """One message of the user's, without tools, is read as it stands."""
    assert read() == ChatRequest("m", HELLO, [], True, False, True, 1)


def test_blocks_become_messages() -> None:
    """The system prompt, words, tool calls and their results are the turns of a conversation."""
    call = {"type": "tool_use", "id": "1", "name": "bash", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "o"}]}
    messages = [
        *HELLO,
        {"role": "assistant", "content": [{"type": "text", "text": "a"}, call, "odd"]},
        {"role": "user", "content": [result]},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result, {"type": "text", "text": "go on"}]},
    ]
    assert read(messages=messages, system=[{"type": "text", "text": "rules"}]).messages == [
        {"role": "system", "content": "rules"},
        *HELLO,
        {"role": "assistant", "content": "a"},
        {"role": "tool", "content": "o"},
        {"role": "assistant", "content": ""},
        {"role": "tool", "content": "o"},
        {"role": "user", "content": "go on"},
    ]


def test_tools_that_the_client_runs_are_offered() -> None:
    """Tools with a schema are offered; those that the endpoint defines are not."""
    offered = [
        {"name": "bash", "input_schema": SCHEMA},
        {"type": "custom", "name": "sh", "input_schema": SCHEMA},
        {"type": "web_search_20250305", "name": "web_search"},
        "odd",
    ]
    assert [tool["function"] for tool in read(tools=offered).tools] == [
        {"name": "bash", "parameters": SCHEMA},
        {"name": "sh", "parameters": SCHEMA},
    ]


@pytest.mark.parametrize("member", ["output_format", "output_config"])
def test_a_schema_and_forbidden_tools(member: str) -> None:
    """A schema of the answer is passed on in either form, and tools can be forbidden."""
    form = {"type": "json_schema", "schema": SCHEMA}
    value = form if member == "output_format" else {"format": form}
    asked = read(**{member: value, "tool_choice": {"type": "none"}})
    assert (asked.schema, asked.may_call) == (SCHEMA, False)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"content": "hi"}]}, "messages[0]"),
        ({"stream": 1}, "stream"),
        ({"tools": {}}, "tools"),
    ],
)
def test_bad_requests_name_the_field(fields: dict[str, Any], param: str) -> None:
    """What an endpoint would refuse is refused, and the field is named."""
    with pytest.raises(BadChat) as caught:
        read(**fields)
    assert caught.value.param == param


@given(
    st.dictionaries(
        st.sampled_from(["messages", "system", "tools", "output_config", "tool_choice", "stream"]),
        request_like,
    )
)
def test_no_json_breaks_the_reader(fields: dict[str, Any]) -> None:
    """Whatever JSON comes, it is a request or a refusal."""
    with contextlib.suppress(BadChat):
        assert texts_of(read(**fields).messages, "user", "assistant") is not None


@given(request_like)
def test_no_content_breaks_the_reader(content: Any) -> None:
    """Whatever a message holds, it is read, unless the body is no JSON."""
    with contextlib.suppress(BadChat):
        assert read(messages=[{"role": "user", "content": content}]).messages
