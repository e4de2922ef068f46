import orjson

from cab.proxy.demo.dialects import RESPONSES
from cab.proxy.demo.responder import DemoReply
from cab.proxy.demo.tool import ToolCall
from tests.proxy.demo.dialects.replies import ID, MODEL, streamed, whole

REPLY = DemoReply("one\ntwo", (ToolCall("bash", '{"a":1}'), ToolCall("apply_patch", "*** p", True)))


def events(reply: DemoReply) -> list[tuple[str, dict[str, object]]]:
    found: list[tuple[str, dict[str, object]]] = []
    for event in streamed(RESPONSES, reply):
        head, data = event.decode().rstrip("\n").split("\n")
        found.append((head.removeprefix("event: "), orjson.loads(data.removeprefix("data: "))))
    return found


def test_the_sequence_of_events() -> None:
    """Each item is opened, comes in pieces, and is closed, between the response's own events."""
    added, done = "response.output_item.added", "response.output_item.done"
    arguments = "response.function_call_arguments"
    freeform = "response.custom_tool_call_input"
    assert [kind for kind, _ in events(REPLY)] == [
        *("response.created", "response.in_progress"),
        *(added, "response.content_part.added"),
        *("response.output_text.delta", "response.output_text.delta"),
        *("response.output_text.done", "response.content_part.done", done),
        *(added, f"{arguments}.delta", f"{arguments}.done", done),
        *(added, f"{freeform}.delta", f"{freeform}.done", done),
        "response.completed",
    ]


def test_events_are_numbered_and_named_twice() -> None:
    """Each event has its type in its head and in its data, and its place in the sequence."""
    found = events(REPLY)
    assert [data["sequence_number"] for _, data in found] == list(range(len(found)))
    assert all(data["type"] == kind for kind, data in found)


def test_the_last_event_holds_the_whole_answer() -> None:
    """`response.completed` brings the response as it is without a stream."""
    assert events(REPLY)[-1][1]["response"] == whole(RESPONSES, REPLY)


def test_a_response_under_way_has_no_output_and_no_usage() -> None:
    """The first events have id and model, and nothing that is not yet known."""
    for _, data in events(REPLY)[:2]:
        response = data["response"]
        assert isinstance(response, dict)
        assert (response["id"], response["model"]) == (ID, MODEL)
        assert (response["status"], response["output"], response["usage"]) == (
            "in_progress",
            [],
            None,
        )


def test_items_of_the_output() -> None:
    """Words, function calls and custom calls are items, each call with its name and what it takes."""
    message, function, custom = whole(RESPONSES, REPLY)["output"]
    assert message["content"][0]["text"] == "one\ntwo"
    assert (function["type"], function["arguments"]) == ("function_call", '{"a":1}')
    assert (custom["type"], custom["input"]) == ("custom_tool_call", "*** p")
    assert len({item["id"] for item in (message, function, custom)}) == 3


def test_usage() -> None:
    """Input and output are inclusive; cached and reasoning tokens are named as their parts."""
    assert whole(RESPONSES, REPLY)["usage"] == {
        "input_tokens": 11,
        "input_tokens_details": {"cached_tokens": 5},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 18,
    }


def test_an_answer_without_words_is_calls_alone() -> None:
    """There is no message item where there is no text."""
    output = whole(RESPONSES, DemoReply(None, (ToolCall("bash", "{}"),)))["output"]
    assert [item["type"] for item in output] == ["function_call"]
