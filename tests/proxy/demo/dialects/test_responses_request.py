from cab.proxy.demo.dialects.request import ChatRequest
from tests.proxy.demo.dialects.reading import reader

BASH = {"type": "function", "name": "bash", "parameters": {"type": "object"}}
PATCH = {"type": "custom", "name": "apply_patch", "format": {"type": "grammar"}}


read = reader("responses")


def test_a_plain_request() -> None:
    """A text as input is one message of the user's."""
    hello = [{"role": "user", "content": "hi"}]
    assert read() == ChatRequest("m", hello, [], may_call=True, stream=False)


def test_items_become_messages() -> None:
    """Instructions, messages, calls and their results are the turns of a conversation."""
    items = [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "d"}]},
        {"role": "user", "content": "u"},
        {"type": "reasoning", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
        {"type": "function_call", "call_id": "1", "name": "bash", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "out"},
        {"type": "custom_tool_call", "call_id": "2", "name": "apply_patch", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "2", "output": [{"text": "done"}]},
    ]
    assert read(input=items, instructions="rules").messages == [
        {"role": "system", "content": "rules"},
        {"role": "developer", "content": "d"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "a"},
        {"role": "tool", "content": "out"},
        {"role": "assistant", "content": ""},
        {"role": "tool", "content": "done"},
    ]


def test_tools_that_the_client_runs_are_offered() -> None:
    """Functions and custom tools are offered; what the endpoint would run is not."""
    offered = [BASH, PATCH, {"type": "web_search"}, {"type": "namespace", "tools": [BASH]}, "odd"]
    assert read(tools=offered).tools == [
        {"type": "function", "function": BASH},
        {"type": "custom", "custom": PATCH},
    ]


def test_tools_may_stand_among_the_items() -> None:
    """Tools that an item adds are offered like the others, and the item is not a turn."""
    functions = {"type": "namespace", "name": "functions", "tools": [BASH]}
    others = {"type": "namespace", "name": "clock", "tools": [BASH]}
    later = {"type": "additional_tools", "role": "developer", "tools": [PATCH, functions, others]}
    asked = read(input=[later, {"role": "user", "content": "hi"}], tools=[BASH])
    assert asked.messages == [{"role": "user", "content": "hi"}]
    assert [tool["type"] for tool in asked.tools] == ["function", "custom", "function"]


def test_a_schema_and_forbidden_tools() -> None:
    """A schema of the answer is passed on, and tools can be forbidden."""
    schema = {"type": "object", "properties": {}}
    asked = read(text={"format": {"type": "json_schema", "schema": schema}}, tool_choice="none")
    assert (asked.schema, asked.may_call) == (schema, False)
