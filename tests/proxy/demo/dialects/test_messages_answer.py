from typing import Any

import orjson

from cab.proxy.demo.dialects import MESSAGES
from cab.proxy.demo.responder import DemoReply
from cab.proxy.demo.tool import ToolCall
from tests.proxy.demo.dialects.replies import ID, MODEL, streamed, whole

REPLY = DemoReply("one\ntwo", (ToolCall("Bash", '{"a":1}'),))
USAGE = {
    "input_tokens": 6,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 5,
    "output_tokens": 7,
}


def events(reply: DemoReply) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    for event in streamed(MESSAGES, reply):
        head, data = event.decode().rstrip("\n").split("\n")
        found.append((head.removeprefix("event: "), orjson.loads(data.removeprefix("data: "))))
    return found


def test_the_sequence_of_events() -> None:
    """Each block is opened empty, comes in pieces, and is closed, between the message's events."""
    found = events(REPLY)
    assert [kind for kind, _ in found] == [
        *("message_start", "ping"),
        *("content_block_start", "content_block_delta", "content_block_delta"),
        "content_block_stop",
        *("content_block_start", "content_block_delta", "content_block_stop"),
        *("message_delta", "message_stop"),
    ]
    assert all(data["type"] == kind for kind, data in found)
    opened = [data["content_block"] for kind, data in found if kind == "content_block_start"]
    assert opened[0] == {"type": "text", "text": ""}
    assert (opened[1]["type"], opened[1]["input"]) == ("tool_use", {})
    deltas = [data["delta"] for kind, data in found if kind == "content_block_delta"]
    assert deltas[-1] == {"type": "input_json_delta", "partial_json": '{"a":1}'}


def test_usage_leaves_cached_tokens_out_of_the_input() -> None:
    """What was read from the cache is named apart; the stream's last word is that of the whole."""
    assert whole(MESSAGES, REPLY)["usage"] == USAGE
    found = dict(events(REPLY))
    assert found["message_start"]["message"]["usage"] == {**USAGE, "output_tokens": 1}
    assert found["message_delta"]["usage"] == USAGE


def test_a_whole_message() -> None:
    """The message holds words and calls, and says why it ends."""
    message = whole(MESSAGES, REPLY)
    assert (message["id"], message["model"], message["role"]) == (ID, MODEL, "assistant")
    text, call = message["content"]
    assert text == {"type": "text", "text": "one\ntwo"}
    assert (call["name"], call["input"]) == ("Bash", {"a": 1})
    assert call["id"].startswith("toolu_")
    assert (message["stop_reason"], message["stop_sequence"]) == ("tool_use", None)


def test_an_answer_without_words_is_calls_alone() -> None:
    """An empty text would be refused in the next request, so there is none."""
    message = whole(MESSAGES, DemoReply("", (ToolCall("Bash", "{}"),)))
    assert [block["type"] for block in message["content"]] == ["tool_use"]
    assert whole(MESSAGES, DemoReply("x"))["stop_reason"] == "end_turn"
