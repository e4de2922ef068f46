import pytest

from cab.proxy.demo.dialects.request import ChatRequest
from tests.proxy.demo.dialects.reading import HELLO, reader

SCHEMA = {"type": "object", "properties": {"command": {"type": "string"}}}


read = reader("messages")


def test_a_plain_request() -> None:
    """One message of the user's, without tools, is read as it stands."""
    assert read() == ChatRequest("m", HELLO, [], may_call=True, stream=False)


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
