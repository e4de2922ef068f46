import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.demo.dialects.chat_request import ChatRequest, texts_of
from cab.proxy.demo.dialects.fields import BadChat
from cab.proxy.demo.dialects.gemini_request import read_generation_request
from tests.proxy.forwarding.jsonlike import request_like

HELLO = {"role": "user", "parts": [{"text": "hi"}]}


def read(**fields: Any) -> ChatRequest:
    body = json.dumps({"contents": [HELLO], **fields}).encode()
    return read_generation_request(body, "stepfun-ai/step", stream=True)


def test_a_plain_request() -> None:
    """Model and stream come from the path, the message from the body."""
    messages = [{"role": "user", "content": "hi"}]
    assert read() == ChatRequest("stepfun-ai/step", messages, [], True, True, True, 1)


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


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"contents": []}, "contents"), ({"contents": None}, "contents"), ({"contents": ["hi"]}, "contents[0]")],
)  # fmt: skip
def test_bad_requests_name_the_field(fields: dict[str, Any], param: str) -> None:
    """What an endpoint would refuse is refused, and the field is named."""
    with pytest.raises(BadChat) as caught:
        read(**fields)
    assert caught.value.param == param


@given(
    st.dictionaries(
        st.sampled_from(["contents", "systemInstruction", "tools", "generationConfig"]),
        request_like,
    )
)
def test_no_json_breaks_the_reader(fields: dict[str, Any]) -> None:
    """Whatever JSON comes, it is a request or a refusal."""
    with contextlib.suppress(BadChat):
        assert texts_of(read(**fields).messages, "user", "assistant") is not None


@given(request_like)
def test_no_parts_break_the_reader(parts: Any) -> None:
    """Whatever a content holds, it is read, unless the body is no JSON."""
    with contextlib.suppress(BadChat):
        assert read(contents=[{"role": "model", "parts": parts}]).messages
