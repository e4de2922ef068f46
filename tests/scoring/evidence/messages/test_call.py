"""What was said in a call, in the terms of each dialect."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.scoring.evidence.messages.call import said_in
from cab.scoring.evidence.messages.model import (
    OfferedTool,
    SaidAnswer,
    SaidMedia,
    SaidMessage,
    SaidOther,
    SaidReasoning,
    SaidText,
    SaidToolCall,
    SaidToolResult,
)

ENDPOINTS = (
    *("chat.completions", "completions", "fim.completions", "responses", "messages"),
    *("gemini.generateContent", "embeddings", "somewhere/new"),
)

PNG = "data:image/png;base64,aGVsbG8="
IMAGE = {"type": "image_url", "image_url": {"url": PNG}}
CALL = {"id": "c1", "type": "function", "function": {"name": "ls", "arguments": '{"a":1}'}}
SOURCE = {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}

CHAT: Any = {
    "model": "m",
    "temperature": 0,
    "messages": [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "look"}, IMAGE, {"type": "new"}]},
        {"role": "assistant", "content": None, "reasoning": "hm", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "a.py"},
        {"role": "user", "content": "go on", "mood": {"a": 1}},
    ],
    "tools": [{"type": "function", "function": {"name": "ls", "parameters": {"type": "object"}}}],
}
RESPONSES: Any = {
    "instructions": "be brief",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "look"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": PNG}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "function_call", "name": "ls", "arguments": '{"a":1}', "call_id": "c1"},
        {"type": "function_call_output", "call_id": "c1", "output": "a.py"},
        {"type": "web_search_call", "status": "completed"},
    ],
    "tools": [{"type": "function", "name": "ls", "parameters": {"type": "object"}}],
}
MESSAGES: Any = {
    "system": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "look"}]},
        {"role": "user", "content": [{"type": "image", "source": SOURCE}, {"type": "new"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "x"},
                {"type": "tool_use", "id": "c1", "name": "ls", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "a.py", "is_error": True}
            ],
        },
    ],
    "tools": [{"name": "ls", "input_schema": {"type": "object"}}],
}
GEMINI: Any = {
    "systemInstruction": {"parts": [{"text": "be brief"}]},
    "contents": [
        {"role": "user", "parts": [{"text": "look"}]},
        {
            "role": "user",
            "parts": [{"inlineData": {"mimeType": "image/png", "data": "aGVsbG8="}}, {"new": 1}],
        },
        {
            "role": "model",
            "parts": [
                {"text": "hm", "thought": True},
                {"functionCall": {"name": "ls", "args": {"a": 1}}},
            ],
        },
        {
            "role": "user",
            "parts": [{"functionResponse": {"name": "ls", "response": {"output": "a.py"}}}],
        },
    ],
    "tools": [{"functionDeclarations": [{"name": "ls", "parameters": {"type": "object"}}]}],
}
PICTURE = SaidMedia("image_url", "image/png", 5)
CALLED = SaidToolCall("ls", '{"a":1}', "c1")
THOUGHT = SaidReasoning("hm")
NEW = SaidOther("new", '{\n  "type": "new"\n}')


def message(role: str, *parts: Any, finish: str | None = None) -> SaidMessage:
    """Return a message."""
    return SaidMessage(role, parts, finish)


@pytest.mark.parametrize(
    ("endpoint", "body", "messages"),
    [
        (
            "chat.completions",
            CHAT,
            [
                message("developer", SaidText("be brief")),
                message("user", SaidText("look"), PICTURE, NEW),
                message("assistant", THOUGHT, CALLED),
                message("tool", SaidToolResult((SaidText("a.py"),), None, "c1")),
                message("user", SaidText("go on"), SaidOther("mood", '{\n  "a": 1\n}')),
            ],
        ),
        (
            "responses",
            RESPONSES,
            [
                message("instructions", SaidText("be brief")),
                message("user", SaidText("look")),
                message("user", SaidMedia("input_image", "image/png", 5)),
                message("assistant", THOUGHT),
                message("assistant", CALLED),
                message("tool", SaidToolResult((SaidText("a.py"),), None, "c1")),
                message(
                    "user",
                    SaidOther(
                        "web_search_call",
                        '{\n  "type": "web_search_call",\n  "status": "completed"\n}',
                    ),
                ),
            ],
        ),
        (
            "messages",
            MESSAGES,
            [
                message("system", SaidText("be brief")),
                message("user", SaidText("look")),
                message("user", SaidMedia("image", "image/png", 5), NEW),
                message("assistant", THOUGHT, CALLED),
                message("user", SaidToolResult((SaidText("a.py"),), None, "c1", is_error=True)),
            ],
        ),
        (
            "gemini.generateContent",
            GEMINI,
            [
                message("systemInstruction", SaidText("be brief")),
                message("user", SaidText("look")),
                message("user", SaidMedia("inlineData", "image/png", 5), SaidOther("new", "1")),
                message("model", THOUGHT, SaidToolCall("ls", '{"a":1}')),
                message("user", SaidToolResult((SaidText('{"output":"a.py"}'),), "ls")),
            ],
        ),
        (
            "completions",
            {"prompt": "def f", "suffix": "x"},
            [message("prompt", SaidText("def f")), message("suffix", SaidText("x"))],
        ),
        (
            "completions",
            {"prompt": [1, 2]},
            [message("prompt", SaidOther("prompt", "[\n  1,\n  2\n]"))],
        ),
    ],
)
def test_each_dialects_request_is_read(
    endpoint: str, body: Any, messages: list[SaidMessage]
) -> None:
    """Texts, reasoning, calls, results and images are told apart; what is unknown is JSON."""
    found = said_in(endpoint, orjson.dumps(body), None)
    assert found.request is not None
    assert found.answer is None
    assert list(found.request.messages) == messages
    if "tools" in body:
        assert found.request.tools == (OfferedTool("ls", None, {"type": "object"}),)
    assert "messages" not in found.request.settings
    if "temperature" in body:
        assert found.request.settings == {"model": "m", "temperature": 0}


CHAT_MESSAGE = {"role": "assistant", "reasoning_content": "hm", "tool_calls": [CALL]}
CLAUDE = MESSAGES["messages"][2]["content"]


@pytest.mark.parametrize(
    ("endpoint", "body", "finish", "role"),
    [
        (
            "chat.completions",
            {"choices": [{"message": CHAT_MESSAGE, "finish_reason": "tool_calls"}]},
            "tool_calls",
            "assistant",
        ),
        (
            "messages",
            {"role": "assistant", "content": CLAUDE, "stop_reason": "tool_use"},
            "tool_use",
            "assistant",
        ),
        (
            "gemini.generateContent",
            {"candidates": [{"content": GEMINI["contents"][2], "finishReason": "STOP"}]},
            "STOP",
            "model",
        ),
        (
            "responses",
            {"status": "completed", "output": RESPONSES["input"][2:4]},
            "completed",
            "assistant",
        ),
    ],
)
def test_each_dialects_answer_is_read(endpoint: str, body: Any, finish: str, role: str) -> None:
    """An answer's reasoning and tool call are found, and why it ended."""
    found = said_in(endpoint, None, orjson.dumps(body)).answer
    assert found is not None
    assert found.error is None
    parts = [part for message in found.messages for part in message.parts]
    call_id = None if role == "model" else "c1"
    assert parts == [THOUGHT, SaidToolCall("ls", '{"a":1}', call_id)]
    assert (found.messages[-1].finish, found.messages[-1].role) == (finish, role)


@pytest.mark.parametrize(
    ("endpoint", "body", "error"),
    [
        ("chat.completions", {"error": {"message": "slow", "type": "rate"}}, "rate: slow"),
        (
            "messages",
            {"type": "error", "error": {"type": "overloaded", "message": "x"}},
            "overloaded: x",
        ),
        ("gemini.generateContent", {"error": {"status": "NO", "message": "x"}}, "NO: x"),
        ("responses", {"status": "failed", "error": {"code": "bad"}}, '{\n  "code": "bad"\n}'),
        ("chat.completions", {"error": "no"}, "no"),
    ],
)
def test_errors_are_named(endpoint: str, body: Any, error: str) -> None:
    """What the endpoint says went wrong, also at the end of a stream."""
    whole = said_in(endpoint, None, orjson.dumps(body)).answer
    stream = said_in(endpoint, None, b"event: error\ndata: " + orjson.dumps(body) + b"\n\n").answer
    assert whole is not None
    assert whole.error == error
    assert stream is not None
    assert stream.error == error


def test_what_is_no_json_is_shown_as_text() -> None:
    """A page of a gateway instead of an answer; a form instead of a request."""
    found = said_in("chat.completions", b"--x\r\nform", b"<html>502</html>")
    form, page = SaidOther("body", "--x\r\nform"), SaidOther("body", "<html>502</html>")
    assert found.request is not None
    assert found.request.messages == (message("body", form),)
    assert found.answer == SaidAnswer((message("body", page),))
    assert said_in("chat.completions", b"", b"").answer == SaidAnswer()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 1 << 40) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                (
                    *(
                        "messages",
                        "choices",
                        "message",
                        "delta",
                        "content",
                        "parts",
                        "text",
                        "type",
                    ),
                    *(
                        "tool_calls",
                        "function",
                        "arguments",
                        "input",
                        "output",
                        "role",
                        "candidates",
                    ),
                    *("contents", "index", "content_block", "source", "data", "image_url", "error"),
                    *("response", "item", "output_index", "content_index", "summary", "tools"),
                    *(
                        "functionCall",
                        "functionResponse",
                        "inlineData",
                        "reasoning",
                        "audio",
                        "file",
                    ),
                )
            ),
            inner
            | st.sampled_from(
                (
                    *("text", "image", "tool_use", "tool_result", "thinking", "file", "reasoning"),
                    *("content_block_delta", "content_block_start", "response.output_text.delta"),
                    *("message_start", "input_image", "function_call", "text_delta", "tool"),
                    *("response.output_item.added", "response.function_call_arguments.delta"),
                )
            ),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from(ENDPOINTS), st.binary(max_size=200), st.binary(max_size=200))
def test_no_bytes_make_it_fail(endpoint: str, request: bytes, answer: bytes) -> None:
    """Whatever the bodies hold, something is read of them."""
    said_in(endpoint, request, answer)


@given(st.sampled_from(ENDPOINTS), VALUES, st.lists(VALUES, max_size=4))
def test_no_json_makes_it_fail(endpoint: str, body: Any, events: list[Any]) -> None:
    """Whatever has the wrong type, or stands in the wrong place, something is read of it."""
    text = orjson.dumps(body, default=str)
    said_in(endpoint, text, text)
    stream = b"".join(b"data: %s\n\n" % orjson.dumps(event, default=str) for event in events)
    said_in(endpoint, None, stream)


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 5000,
        b'{"messages":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"messages":[{"content":[{"type":"text","text":"\\ud800"}]}],"x":' + b"1" * 5000 + b"}",
        b'{"messages":[{"role":"user","content":"\\ud83d\\ude00 \\ud800","m":NaN}]}',
    ],
)
def test_depth_numbers_and_broken_characters_are_survived(text: bytes) -> None:
    """What JSON readers give up on; all that is read can be encoded."""
    found = said_in("chat.completions", text, text)
    repr(found).encode()
