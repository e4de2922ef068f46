from typing import Any

import orjson

from cab.proxy.demo.dialects import gemini
from cab.proxy.demo.responder import DemoReply
from cab.proxy.demo.tool import ToolCall
from cab.proxy.demo.usage import DemoUsage
from tests.proxy.demo.dialects.replies import ID, MODEL, USAGE, streamed, whole

EVENTS = gemini("m", stream=True, sse=True)
ARRAY = gemini("m", stream=True, sse=False)
REPLY = DemoReply("one\ntwo", (ToolCall("a", '{"x":1}'), ToolCall("b", "{}")), thought="hm")
CALLS = [
    {"functionCall": {"name": "a", "args": {"x": 1}}},
    {"functionCall": {"name": "b", "args": {}}},
]


def chunks(reply: DemoReply, usage: DemoUsage = USAGE) -> list[dict[str, Any]]:
    found = streamed(EVENTS, reply, usage)
    assert all(event.startswith(b"data: ") and event.endswith(b"\r\n\r\n") for event in found)
    return [orjson.loads(event.removeprefix(b"data: ")) for event in found]


def parts_of(chunk: dict[str, Any]) -> list[dict[str, Any]]:
    [candidate] = chunk["candidates"]
    assert candidate["content"]["role"] == "model"
    parts: list[dict[str, Any]] = candidate["content"]["parts"]
    return parts


def test_chunks_come_in_order() -> None:
    """The thought, the text in pieces, and then all calls at once."""
    assert [parts_of(chunk) for chunk in chunks(REPLY)] == [
        [{"text": "hm", "thought": True}],
        [{"text": "one\n"}],
        [{"text": "two"}],
        CALLS,
    ]


def test_the_last_chunk_ends_the_answer() -> None:
    """Only the last chunk has a finish reason and the whole usage; all have id and model."""
    *first, last = chunks(REPLY)
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert all("finishReason" not in chunk["candidates"][0] for chunk in first)
    assert all("candidatesTokenCount" not in chunk["usageMetadata"] for chunk in first)
    assert {(chunk["responseId"], chunk["modelVersion"]) for chunk in (*first, last)} == {
        (ID, MODEL)
    }


def test_thoughts_are_counted_apart() -> None:
    """Candidates and thoughts together are what was written."""
    assert chunks(REPLY)[-1]["usageMetadata"] == {
        "promptTokenCount": 11,
        "cachedContentTokenCount": 5,
        "candidatesTokenCount": 4,
        "thoughtsTokenCount": 3,
        "totalTokenCount": 18,
    }


def test_zeros_are_left_out() -> None:
    """As at the real endpoint, what is zero is not named."""
    usage = chunks(DemoReply("x"), DemoUsage(11, 7))[-1]["usageMetadata"]
    assert usage == {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18}


def test_an_array_holds_the_same_chunks() -> None:
    """Without `alt=sse` the chunks of the stream are the items of one JSON array."""
    assert orjson.loads(b"".join(streamed(ARRAY, REPLY))) == chunks(REPLY)


def test_a_whole_answer_has_all_parts() -> None:
    """Not streamed, the text is in one piece."""
    answer = whole(EVENTS, REPLY)
    assert parts_of(answer) == [{"text": "hm", "thought": True}, {"text": "one\ntwo"}, *CALLS]
    assert answer["candidates"][0]["finishReason"] == "STOP"


def test_nothing_said_is_an_answer_too() -> None:
    """An empty reply is one chunk without parts."""
    [chunk] = chunks(DemoReply(None))
    assert parts_of(chunk) == []
