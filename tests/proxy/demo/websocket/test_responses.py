"""Responses over the demo's WebSocket: what they say and cost, what they build on, and their lanes."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from cab.adapters.tasks.loader import list_tasks
from cab.proxy.demo import Demo, WebSocketFault, running_demo
from cab.proxy.demo.websocket.answering import MOST_RUNNING
from cab.proxy.demo.websocket.connection import MOST_LANES
from tests.tools.responses_socket import Event, ResponsesSocket, responses_socket

TASK = list_tasks()[0].prompt
BASH = {
    "type": "function",
    "name": "bash",
    "parameters": {
        "type": "object",
        "properties": {"command": {"type": "string"}},
        "required": ["command"],
    },
}
RULES = {"type": "message", "role": "developer", "content": "Be brief."}


@pytest_asyncio.fixture
async def demo() -> AsyncIterator[Demo]:
    async with running_demo() as running:
        yield running


@pytest_asyncio.fixture
async def socket(demo: Demo) -> AsyncIterator[ResponsesSocket]:
    async with responses_socket(demo.url) as connected:
        yield connected


def billed(event: Event) -> tuple[str, int, int]:
    """Return id and counts of the response that an event ends."""
    usage = event["response"]["usage"]
    return event["response"]["id"], usage["input_tokens"], usage["output_tokens"]


def served(demo: Demo) -> list[tuple[str, int, int]]:
    """Return the same of the account's entries."""
    entries = demo.account()["by_call"]
    return [(e["id"], e["prompt_tokens"], e["completion_tokens"]) for e in entries]


async def posted(**body: Any) -> dict[str, Any]:
    """Return the answer to the same request, posted to a demo of its own."""
    async with (
        running_demo() as other,
        aiohttp.ClientSession(other.url) as http,
        http.post("/v1/responses", json={"model": "m", **body}) as response,
    ):
        answer: dict[str, Any] = await response.json()
        return answer


@pytest.mark.parametrize("more", [{}, {"instructions": "Be brief.", "tools": [BASH]}])
async def test_a_create_gets_what_a_post_gets(
    more: dict[str, Any], demo: Demo, socket: ResponsesSocket
) -> None:
    """The events are those of a stream, numbered; text, calls and usage are those of a posted answer."""
    await socket.create(TASK, stream=True, store=False, **more)
    events = await socket.until("response.completed")
    body = await posted(input=TASK, **more)
    last = events[-1]["response"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert not any("stream_id" in event for event in events)
    assert (last["usage"], last["previous_response_id"]) == (body["usage"], None)
    texts = [[i.get("content"), i.get("arguments")] for i in last["output"]]
    assert texts == [[i.get("content"), i.get("arguments")] for i in body["output"]]
    assert served(demo) == [billed(events[-1])]


async def test_a_response_builds_on_the_ones_before(demo: Demo, socket: ResponsesSocket) -> None:
    """With `previous_response_id` the whole conversation is read, counted and charged."""
    first = await socket.answer(TASK, tools=[BASH])
    call = next(i for i in first["response"]["output"] if i["type"] == "function_call")
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "README"}
    second = await socket.answer(
        input=[result], tools=[BASH], previous_response_id=first["response"]["id"]
    )
    told = {"type": "message", "role": "user", "content": TASK}
    whole = await posted(input=[told, *first["response"]["output"], result], tools=[BASH])
    assert second["response"]["usage"] == whole["usage"]
    assert second["response"]["previous_response_id"] == first["response"]["id"]
    assert served(demo) == [billed(first), billed(second)]


async def test_a_warm_up_reads_and_writes_nothing(demo: Demo, socket: ResponsesSocket) -> None:
    """`generate: false` costs its prompt alone, and what follows builds on it; its input may be empty."""
    warm = await socket.answer(input=[RULES], generate=False)
    again = await socket.answer(
        input=[], generate=False, previous_response_id=warm["response"]["id"]
    )
    turn = await socket.answer("hi", previous_response_id=again["response"]["id"])
    assert (warm["response"]["output"], warm["response"]["status"]) == ([], "completed")
    assert [billed(each)[2] for each in (warm, again)] == [0, 0]
    assert billed(warm)[1] == billed(again)[1] < billed(turn)[1]
    assert served(demo) == [billed(warm), billed(again), billed(turn)]


async def test_a_lane_answers_in_order(demo: Demo, socket: ResponsesSocket) -> None:
    """Creates that are sent at once are answered one after the other, each event with the lane's name."""
    for text in ("one", "two two", "three three three"):
        await socket.create(text, stream_id="main")
    ends = []
    for _ in range(3):
        events = await socket.until("response.completed")
        assert events[0]["type"] == "response.created"
        assert {event["stream_id"] for event in events} == {"main"}
        ends.append(events[-1])
    assert [billed(end)[1] for end in ends] == sorted({billed(end)[1] for end in ends})
    assert served(demo) == [billed(end) for end in ends]


async def test_lanes_run_at_once(demo: Demo, socket: ResponsesSocket) -> None:
    """A lane whose response waits holds up no other, and a fork builds on another lane's response."""
    demo.set_websocket_faults(WebSocketFault("hold", at=2, calls=1))
    first = await socket.answer("hi")
    await socket.create("slow", stream_id="slow")
    slow = await socket.created()
    await socket.create("fork", stream_id="fork", previous_response_id=first["response"]["id"])
    events = await socket.until("response.completed")
    demo.websocket.release()
    end = await socket.ended()
    assert events[-1]["stream_id"] == "fork"
    assert (end["stream_id"], end["response"]["id"]) == ("slow", slow)
    assert served(demo) == [billed(first), billed(events[-1]), billed(end)]


async def test_sixteen_responses_run_and_others_wait(demo: Demo, socket: ResponsesSocket) -> None:
    """The 17th of a connection starts when one of the others has ended; another connection's does not wait."""
    demo.set_websocket_faults(WebSocketFault("hold", after=1, calls=MOST_RUNNING))
    for number in range(MOST_RUNNING + 1):
        await socket.create("hi", stream_id=str(number))
    for _ in range(MOST_RUNNING):
        await socket.created()
    async with responses_socket(demo.url) as other:
        await other.answer()
    assert demo.account()["calls"] == 1
    demo.websocket.release()
    last = [await socket.ended() for _ in range(MOST_RUNNING + 1)][-1]
    assert demo.account()["calls"] == MOST_RUNNING + 2
    assert last["stream_id"] == str(MOST_RUNNING)


async def test_names_of_lanes_are_limited(socket: ResponsesSocket) -> None:
    """A 33rd name is refused on that lane; the lane without a name, and known names, still work."""
    for number in range(MOST_LANES):
        await socket.answer(stream_id=f"lane-{number}")
    error = await socket.answer(stream_id="one-more")
    assert (error["status"], error["stream_id"]) == (400, "one-more")
    assert error["error"]["code"] == "websocket_stream_limit_reached"
    assert (await socket.answer())["type"] == "response.completed"
    assert (await socket.answer(stream_id="lane-0"))["type"] == "response.completed"


@pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 257, 7])
async def test_bad_names_of_lanes(name: Any, demo: Demo, socket: ResponsesSocket) -> None:
    """A name that is none is refused without a name."""
    error = await socket.answer(stream_id=name)
    assert (error["status"], error["error"]["code"]) == (400, "invalid_stream_id")
    assert "stream_id" not in error
    assert (demo.account()["calls"], demo.account()["refused"]) == (0, 1)


@pytest.mark.parametrize(
    ("members", "param", "code"),
    [
        (
            {"previous_response_id": "resp_x"},
            "previous_response_id",
            "previous_response_not_found",
        ),
        ({"background": True}, "background", None),
        ({"input": {}}, "input", None),
        ({"input": []}, "input", None),
        ({"model": None}, "model", None),
        ({"model": None, "generate": False}, "model", None),
        ({"conversation": "c"}, "conversation", None),
    ],
)
async def test_refused_creates(
    members: dict[str, Any],
    param: str,
    code: str | None,
    demo: Demo,
    socket: ResponsesSocket,
) -> None:
    """A create that is refused gets an error event with its lane, and the connection goes on."""
    error = await socket.answer(stream_id="lane", **members)
    assert set(error) == {"type", "status", "stream_id", "error"}
    assert (error["status"], error["stream_id"]) == (400, "lane")
    assert error["error"] == {
        "message": error["error"]["message"],
        "type": "invalid_request_error",
        "param": param,
        "code": code,
    }
    assert (await socket.answer(stream_id="lane"))["type"] == "response.completed"
    assert (demo.account()["calls"], demo.account()["refused"]) == (1, 1)


@pytest.mark.parametrize("text", ["{", "[]", '{"type":"session.update"}', "{}"])
async def test_messages_that_are_no_events(text: str, socket: ResponsesSocket) -> None:
    """What is no event of a client gets an error, and the connection goes on."""
    await socket.line.send(text)
    error = await socket.ended()
    assert (error["type"], error["status"]) == ("error", 400)
    assert (await socket.answer())["type"] == "response.completed"


async def test_responses_belong_to_their_connection(demo: Demo, socket: ResponsesSocket) -> None:
    """What one connection keeps, another one does not find."""
    first = await socket.answer()
    async with responses_socket(demo.url) as other:
        error = await other.answer(previous_response_id=first["response"]["id"])
    assert error["error"]["code"] == "previous_response_not_found"


async def test_a_client_that_leaves_is_still_charged(demo: Demo) -> None:
    """A response whose client has gone is in the account as a posted one is."""
    demo.set_websocket_faults(WebSocketFault("hold"))
    async with responses_socket(demo.url) as socket:
        await socket.create()
        response_id = await socket.created()
        socket.line.transport.abort()
    async with responses_socket(demo.url) as other:
        # Not before the server has read the end of the first connection does it say so.
        while not demo.account()["calls"]:
            await (await other.line.ping())
    assert [entry["id"] for entry in demo.account()["by_call"]] == [response_id]
