"""A stream is put together as the vendors' SDKs do it, and says what the whole body says."""

from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk
from pydantic import TypeAdapter

from cab.proxy.meter.response.sse import SseReader
from cab.scoring.evidence.messages.call import said_in
from cab.scoring.evidence.messages.events import read_bytes, sse_events
from cab.scoring.evidence.messages.model import SaidText, SaidToolCall

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PIECES = st.lists(TEXT, max_size=4)
ARGUMENTS = st.dictionaries(TEXT, st.integers(0, 9) | TEXT, max_size=3)


def sse(events: Iterable[Any]) -> bytes:
    """Return events as a stream."""
    named = ((each.get("type", ""), orjson.dumps(each)) for each in events)
    return b"".join(b"event: %s\ndata: %s\n\n" % (name.encode(), data) for name, data in named)


def cut(text: str, at: int) -> list[str]:
    """Return a text in two pieces."""
    at = min(at, len(text))
    return [text[:at], text[at:]]


def chat_chunk(delta: Any, finish: str | None = None) -> dict[str, Any]:
    """Return a chunk of a chat stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    kind = "chat.completion.chunk"
    return {"id": "x", "object": kind, "created": 1, "model": "m", "choices": [choice]}


def chat_chunks(pieces: list[str], calls: list[Any], at: int) -> list[dict[str, Any]]:
    """Return the chunks of a chat stream."""
    chunks = [chat_chunk({"role": "assistant"})]
    chunks += [chat_chunk({"content": piece}) for piece in pieces]
    for index, arguments in enumerate(calls):
        head = {"name": f"f{index}", "arguments": ""}
        call = {"index": index, "id": f"c{index}", "type": "function", "function": head}
        chunks.append(chat_chunk({"tool_calls": [call]}))
        for piece in cut(orjson.dumps(arguments).decode(), at):
            more = {"index": index, "function": {"arguments": piece}}
            chunks.append(chat_chunk({"tool_calls": [more]}))
    return [*chunks, chat_chunk({}, "stop")]


@given(PIECES, st.lists(ARGUMENTS, max_size=3), st.integers(0, 9))
def test_a_chat_stream_is_what_the_sdk_makes_of_it(
    pieces: list[str], calls: list[Any], at: int
) -> None:
    """The SDK's accumulator makes a completion of it that says the same."""
    chunks = chat_chunks(pieces, calls, at)
    state: Any = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    whole = state.get_final_completion().model_dump_json(exclude_none=True).encode()
    streamed = said_in("chat.completions", None, sse(chunks) + b"data: [DONE]\n\n")
    assert streamed == said_in("chat.completions", None, whole)


def claude_events(pieces: list[str], calls: list[Any], at: int) -> list[dict[str, Any]]:
    """Return the events of an Anthropic stream."""
    usage = {"input_tokens": 1, "output_tokens": 1}
    head = {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": []}
    start = {**head, "stop_reason": None, "stop_sequence": None, "usage": usage}
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
        (
            {"type": "thinking", "thinking": "", "signature": ""},
            [{"type": "thinking_delta", "thinking": piece} for piece in pieces],
        ),
        (
            {"type": "text", "text": ""},
            [{"type": "text_delta", "text": piece} for piece in pieces],
        ),
    ]
    for index, arguments in enumerate(calls):
        tool: dict[str, Any] = {"type": "tool_use", "id": f"t{index}", "name": "f", "input": {}}
        inputs = cut(orjson.dumps(arguments).decode(), at)
        blocks.append((tool, [{"type": "input_json_delta", "partial_json": d} for d in inputs]))
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    for index, (block, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [{"type": "content_block_delta", "index": index, "delta": d} for d in deltas]
        events.append({"type": "content_block_stop", "index": index})
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    events.append({"type": "message_delta", "delta": stop, "usage": {"output_tokens": 2}})
    return [*events, {"type": "message_stop"}]


EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


@given(PIECES, st.lists(ARGUMENTS, max_size=3), st.integers(0, 9))
def test_an_anthropic_stream_is_what_the_sdk_makes_of_it(
    pieces: list[str], calls: list[Any], at: int
) -> None:
    """The SDK's accumulator makes a message of it that says the same."""
    events = claude_events(pieces, calls, at)
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in events:
        made = EVENT.validate_python(event)
        snapshot = accumulate_event(event=made, current_snapshot=snapshot, json_bufs=buffers)
    whole = orjson.dumps(snapshot.model_dump(exclude_none=True))
    assert said_in("messages", None, sse(events)) == said_in("messages", None, whole)


def response_events(pieces: list[str], arguments: str, at: int) -> list[dict[str, Any]]:
    """Return the events of a Responses stream but the last, and the items that they make."""
    text = {"output_index": 1, "content_index": 0}
    thought = {"type": "reasoning", "summary": []}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {"status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": thought},
    ]
    for piece in pieces:
        kind, place = "response.reasoning_summary_text.delta", {"output_index": 0}
        events.append({"type": kind, **place, "summary_index": 0, "delta": piece})
    item = {"type": "message", "role": "assistant", "content": []}
    events.append({"type": "response.output_item.added", "output_index": 1, "item": item})
    kind = "response.output_text.delta"
    events += [{"type": kind, **text, "delta": piece} for piece in pieces]
    call = {"type": "function_call", "name": "f", "call_id": "c", "arguments": ""}
    events.append({"type": "response.output_item.added", "output_index": 2, "item": call})
    kind = "response.function_call_arguments.delta"
    return events + [
        {"type": kind, "output_index": 2, "delta": piece} for piece in cut(arguments, at)
    ]


@given(PIECES, ARGUMENTS, st.integers(0, 9))
def test_a_response_that_broke_off_is_what_was_streamed(
    pieces: list[str], arguments: Any, at: int
) -> None:
    """Of items that never ended, the pieces make what the whole response would say."""
    said = "".join(pieces)
    text = orjson.dumps(arguments).decode()
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": said}]}
    content = [{"type": "output_text", "text": said}]
    call = {"type": "function_call", "name": "f", "call_id": "c", "arguments": text}
    message = {"type": "message", "role": "assistant", "content": content}
    whole = {"status": "in_progress", "output": [thought, message, call]}
    events = response_events(pieces, text, at)
    expected = said_in("responses", None, orjson.dumps(whole))
    assert said_in("responses", None, sse(events)) == expected
    completed = {**whole, "status": "completed"}
    ended = [*events, {"type": "response.completed", "response": completed}]
    assert said_in("responses", None, sse(ended)) == said_in(
        "responses", None, orjson.dumps(completed)
    )


@given(st.lists(TEXT.filter(bool), min_size=1, max_size=4), ARGUMENTS)
def test_gemini_streams_as_events_and_as_a_list(pieces: list[str], arguments: Any) -> None:
    """With `alt=sse` and without, a stream says what the whole answer says."""
    parts: list[Any] = [{"text": piece} for piece in pieces]
    parts.append({"functionCall": {"name": "f", "args": arguments}})
    chunks: list[Any] = [
        {"candidates": [{"content": {"role": "model", "parts": [p]}}]} for p in parts
    ]
    chunks.append({"candidates": [{"finishReason": "STOP"}]})
    content = {"role": "model", "parts": [{"text": "".join(pieces)}, parts[-1]]}
    whole = {"candidates": [{"content": content, "finishReason": "STOP"}]}
    expected = said_in("gemini.generateContent", None, orjson.dumps(whole))
    for stream in (sse(chunks), orjson.dumps(chunks), b"\n".join(map(orjson.dumps, chunks))):
        assert said_in("gemini.generateContent", None, stream) == expected


@pytest.mark.parametrize(
    ("endpoint", "stream", "parts"),
    [
        ("messages", [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}], [SaidText("a")]),
        (
            "messages",
            [
                {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}}},
                {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"a'}},
            ],
            [SaidToolCall("f", '{"a', "t")],
        ),
        ("completions", [{"choices": [{"text": "a"}]}, {"choices": [{"text": "b"}]}], [SaidText("ab")]),
    ],
)  # fmt: skip
def test_what_came_of_a_cut_stream_is_said(endpoint: str, stream: Any, parts: Any) -> None:
    """Arguments that broke off are the text that came."""
    answer = said_in(endpoint, None, sse(stream)).answer
    assert answer is not None
    assert [part for message in answer.messages for part in message.parts] == parts


@given(
    st.lists(
        st.sampled_from(
            [
                b"data: x",
                b"data:y",
                b"data",
                b"event: e",
                b"event",
                b":c",
                b"",
                b"id: 1",
                b"error: z",
            ]
        ),
        max_size=12,
    ),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
)
def test_events_are_those_of_the_meters_reader(lines: list[bytes], end: bytes) -> None:
    """The reader of whole bodies and the one on the wire find the same events."""
    stream = end.join(lines)
    reader = SseReader(1 << 20)
    found = reader.feed(stream)
    if (last := reader.finish()) is not None:
        found.append(last)
    assert sse_events(stream) == [(event.name, event.data) for event in found]


def test_what_is_not_json_in_a_stream_is_kept() -> None:
    """Data that no dialect knows is text; the end mark is none."""
    found = read_bytes(b"data: hello\n\ndata: [DONE]\n\n")
    assert found.unread == ["hello"]
    assert found.events == []
