from typing import Any

import pytest

from cab.proxy.demo.dialects.request import ChatRequest
from tests.proxy.demo.dialects.reading import reader

HELLO = {"role": "user", "parts": [{"text": "hi"}]}


read = reader("gemini")


def test_a_plain_request() -> None:
    """Model and stream come from the path, the message from the body."""
    messages = [{"role": "user", "content": "hi"}]
    assert read() == ChatRequest("stepfun-ai/step", messages, [], may_call=True, stream=True)


@pytest.mark.parametrize("member", ["systemInstruction", "system_instruction"])
def test_contents_become_messages(member: str) -> None:
    """The instruction, words, calls and their results are the turns of a conversation."""
    contents = [
        HELLO,
        {"role": "model", "parts": [{"text": "a"}, {"functionCall": {"name": "x", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "x", "response": {}}}]},
        {"role": "model", "parts": [{"functionCall": {"name": "x", "args": {}}}]},
        {"role": "user", "parts": [{"function_response": {"name": "x", "response": {}}}]},
        {"parts": [{"text": "go on"}]},
    ]
    found = read(contents=contents, **{member: {"parts": [{"text": "rules"}]}}).messages
    assert found == [
        {"role": "system", "content": "rules"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "a"},
        {"role": "tool", "content": ""},
        {"role": "assistant", "content": ""},
        {"role": "tool", "content": ""},
        {"role": "user", "content": "go on"},
    ]


def test_an_instruction_may_be_a_bare_text() -> None:
    """A system instruction in one string is read as well, and a single content without a list."""
    found = read(systemInstruction="rules", contents=HELLO).messages
    assert [message["content"] for message in found] == ["rules", "hi"]


@pytest.mark.parametrize("member", ["parameters", "parametersJsonSchema", "parameters_json_schema"])
def test_functions_are_offered_with_plain_schemas(member: str) -> None:
    """A function's schema is read under each of its names, with its types in lower case."""
    upper = {
        "type": "OBJECT",
        "properties": {"a": {"type": "ARRAY", "items": {"type": "STRING"}, "enum": ["A", "B"]}},
    }
    lower = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"type": "string"}, "enum": ["A", "B"]}},
    }
    declared = [{"functionDeclarations": [{"name": "f", member: upper}]}, {"googleSearch": {}}]
    function = {"name": "f", "parameters": lower}
    assert read(tools=declared).tools == [{"type": "function", "function": function}]


@pytest.mark.parametrize("snake", [False, True])
def test_settings_are_read_in_both_spellings(snake: bool) -> None:
    """Thoughts, a schema of the answer and forbidden tools are understood in camel and snake case."""
    schema = {"type": "object"}
    camel: dict[str, Any] = {
        "generationConfig": {
            "responseSchema": {"type": "OBJECT"},
            "thinkingConfig": {"includeThoughts": True},
        },
        "toolConfig": {"functionCallingConfig": {"mode": "NONE"}},
    }
    spelt: dict[str, Any] = {
        "generation_config": {
            "response_json_schema": schema,
            "thinking_config": {"include_thoughts": True},
        },
        "tool_config": {"function_calling_config": {"mode": "NONE"}},
    }
    asked = read(**(spelt if snake else camel))
    assert (asked.thinks, asked.schema, asked.may_call) == (True, schema, False)
