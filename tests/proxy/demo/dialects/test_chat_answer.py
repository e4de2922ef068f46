from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.demo.dialects.chat_answer import (
    DONE,
    FINGERPRINT,
    completion,
    events,
    message_of,
    usage_json,
)
from cab.proxy.demo.dialects.chunks import CREATED, PIECE_CHARS
from cab.proxy.demo.dialects.request import ChatRequest
from cab.proxy.demo.responder import DemoReply
from cab.proxy.demo.tool import ToolCall
from cab.proxy.demo.usage import DemoUsage

USAGE = DemoUsage(prompt_tokens=11, completion_tokens=7)

texts = st.text(max_size=400)
replies = st.builds(
    DemoReply,
    st.none() | texts,
    st.lists(
        st.builds(ToolCall, st.text(min_size=1, max_size=9), texts, st.booleans()), max_size=2
    ).map(tuple),
)


def request(**fields: Any) -> ChatRequest:
    plain = ChatRequest("m", [], [], True, True, False, 1)
    return plain._replace(**fields)


def parsed(stream: list[bytes]) -> list[dict[str, Any]]:
    assert stream[-1] == DONE
    assert all(event.startswith(b"data: ") and event.endswith(b"\n\n") for event in stream)
    return [orjson.loads(event.removeprefix(b"data: ")) for event in stream[:-1]]


def joined(chunks: list[dict[str, Any]], index: int) -> dict[str, Any]:
    """The message that a client puts together from the deltas of one choice."""
    message: dict[str, Any] = {}
    for choice in (choice for chunk in chunks for choice in chunk["choices"]):
        if choice["index"] != index:
            continue
        delta = choice["delta"]
        calls = message.setdefault("tool_calls", []) if "tool_calls" in delta else []
        for part in delta.pop("tool_calls", []):
            if part["index"] == len(calls):
                calls.append({k: v for k, v in part.items() if k != "index"})
            else:
                kind, member = (
                    ("custom", "input") if "custom" in part else ("function", "arguments")
                )
                calls[part["index"]][kind][member] += part[kind][member]
        content = delta.pop("content", None)
        message.update(delta)
        message["content"] = (
            (message.get("content") or "") + content if content else message.get("content", content)
        )
        message["finish_reason"] = choice["finish_reason"]
    return message


@given(replies, st.integers(1, 3))
def test_streamed_and_whole_answers_say_the_same(reply: DemoReply, choices: int) -> None:
    """The deltas of a stream add up to the message of the answer that is not streamed."""
    asked = request(choices=choices)
    whole = orjson.loads(completion(asked, reply, "id", USAGE))
    chunks = parsed(list(events(asked, reply, "id", USAGE)))
    for choice in whole["choices"]:
        message = {**choice["message"], "finish_reason": choice["finish_reason"]}
        assert joined(chunks, choice["index"]) == message
    assert [choice["index"] for choice in whole["choices"]] == list(range(choices))


@given(replies)
def test_usage_comes_last_and_only_if_asked_for(reply: DemoReply) -> None:
    """With `include_usage` the last event has no choices and the usage, and the others null."""
    *others, last = parsed(list(events(request(include_usage=True), reply, "id", USAGE)))
    assert last["choices"] == []
    assert last["usage"] == usage_json(USAGE)
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in others)


@given(replies)
def test_no_usage_unless_asked_for(reply: DemoReply) -> None:
    """Without `include_usage` no event knows the word, and every event has a choice."""
    chunks = parsed(list(events(request(), reply, "id", USAGE)))
    assert all("usage" not in chunk and chunk["choices"] for chunk in chunks)


@given(replies)
def test_pieces_are_short_and_end_with_lines(reply: DemoReply) -> None:
    """No delta is longer than the limit, and none holds parts of two lines."""
    for chunk in parsed(list(events(request(), reply, "id", USAGE))):
        piece = chunk["choices"][0]["delta"].get("content") or ""
        assert len(piece) <= PIECE_CHARS
        assert "\n" not in piece[:-1]


def test_every_answer_names_its_model_and_a_fixed_time() -> None:
    """Each chunk and each whole answer has the same id, model, fingerprint and fixed date."""
    head = {"id": "id", "created": CREATED, "model": "m", "system_fingerprint": FINGERPRINT}
    whole = orjson.loads(completion(request(), DemoReply("x"), "id", USAGE))
    chunks = parsed(list(events(request(), DemoReply("x"), "id", USAGE)))
    assert whole["object"] == "chat.completion"
    for answer in (whole, *chunks):
        assert answer.items() >= head.items()
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [(DemoReply("x"), "stop"), (DemoReply(None, (ToolCall("f", "{}"),)), "tool_calls")],
)
def test_finish_reason(reply: DemoReply, reason: str) -> None:
    """An answer ends with `tool_calls` if it holds one, with `stop` otherwise."""
    whole = orjson.loads(completion(request(), reply, "id", USAGE))
    assert whole["choices"][0]["finish_reason"] == reason


def test_calls_of_one_answer_have_ids_of_their_own() -> None:
    """Two calls in one answer have different ids."""
    reply = DemoReply(None, (ToolCall("f", "{}"), ToolCall("f", "{}")))
    first, second = message_of(reply, "id")["tool_calls"]
    assert first["id"] != second["id"]


def test_usage_adds_up() -> None:
    """The total is the sum, and nothing is cached or reasoning: measured zeros."""
    assert usage_json(USAGE) == {
        "prompt_tokens": 11,
        "completion_tokens": 7,
        "total_tokens": 18,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
