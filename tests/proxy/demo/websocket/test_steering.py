"""Steering and interrupting a response of the demo's, in each of the ways in which that can end."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from cab.proxy.demo import Demo, WebSocketFault, running_demo
from tests.proxy.demo.websocket.test_responses import BASH, TASK, billed, served
from tests.tools.responses_socket import ResponsesSocket, responses_socket

HOLD = WebSocketFault("hold", calls=1)


@pytest_asyncio.fixture
async def demo() -> AsyncIterator[Demo]:
    async with running_demo() as running:
        running.set_websocket_faults(HOLD)
        yield running


@pytest_asyncio.fixture
async def socket(demo: Demo) -> AsyncIterator[ResponsesSocket]:
    async with responses_socket(demo.url) as connected:
        yield connected


async def test_a_steered_response_has_a_successor(demo: Demo, socket: ResponsesSocket) -> None:
    """It ends as incomplete with what it cost; the next one follows by itself, on the same lane."""
    await socket.create(stream_id="main")
    first = await socket.created()
    await socket.steer(first, "in German")
    events = await socket.until("response.completed")
    kinds = [event["type"] for event in events]
    accepted = events[kinds.index("response.steer.accepted")]
    ended = events[kinds.index("response.incomplete")]
    created = events[kinds.index("response.incomplete") + 1]
    assert accepted["steer"]["previous_response_id"] == first
    assert ended["response"]["incomplete_details"] == {"reason": "steered"}
    assert (created["type"], created["response"]["previous_response_id"]) == (
        "response.created",
        first,
    )
    assert {event["stream_id"] for event in events} == {"main"}
    assert served(demo) == [billed(ended), billed(events[-1])]
    assert billed(events[-1])[1] > billed(ended)[1]
    reasons = [entry["finish_reason"] for entry in demo.account()["by_call"]]
    assert reasons == ["steered", "stop"]


async def test_a_response_may_end_before_it_is_steered(demo: Demo, socket: ResponsesSocket) -> None:
    """Where steering comes too late to stop it, it completes, and the successor follows all the same."""
    demo.set_websocket_faults(WebSocketFault("late_steer", calls=1))
    await socket.create()
    first = await socket.created()
    await socket.steer(first, [{"role": "user", "content": "in German"}])
    ended = await socket.ended()
    second = await socket.until("response.completed")
    assert (ended["type"], ended["response"]["id"]) == ("response.completed", first)
    assert second[0]["response"]["previous_response_id"] == first
    assert served(demo) == [billed(ended), billed(second[-1])]


async def test_steering_waits_for_the_results_of_tools(demo: Demo, socket: ResponsesSocket) -> None:
    """After a tool call no successor follows; the create with the result has the steering in its prompt."""
    await socket.create(TASK, tools=[BASH])
    first = await socket.created()
    await socket.steer(first, "in German")
    ended = await socket.ended()
    [waits] = await socket.until("response.steer.pending")
    [stub] = waits["required_input"]
    assert waits["reason"] == "waiting_for_required_input"
    result = {**stub, "output": "README"}
    follow: dict[str, Any] = {"input": [result], "tools": [BASH], "previous_response_id": first}
    steered = await socket.answer(**follow)
    plain = await socket.answer(**follow)
    assert stub == {
        "type": "function_call_output",
        "call_id": stub["call_id"],
        "name": "bash",
    }
    assert served(demo) == [billed(ended), billed(steered), billed(plain)]
    assert billed(steered)[1] > billed(plain)[1]


async def test_two_steerings_share_a_successor(demo: Demo, socket: ResponsesSocket) -> None:
    """A response that is steered twice has one successor."""
    demo.set_websocket_faults(WebSocketFault("hold", number=2, calls=1))
    await socket.create()
    first = await socket.created()
    await socket.steer(first, "in German")
    await socket.steer(first, "in rhyme")
    events = await socket.until("response.completed")
    ids = [e["steer"]["id"] for e in events if e["type"] == "response.steer.accepted"]
    assert len(set(ids)) == 2
    assert [e["type"] for e in events].count("response.created") == 1
    assert demo.account()["calls"] == 2


async def test_a_successor_goes_before_waiting_creates(demo: Demo, socket: ResponsesSocket) -> None:
    """A create that waits on the lane comes after the successor, which it is not."""
    await socket.create()
    first = await socket.created()
    await socket.create("another")
    await socket.steer(first, "in German")
    await socket.ended()
    second, third = [await socket.until("response.completed") for _ in range(2)]
    assert second[0]["response"]["previous_response_id"] == first
    assert third[0]["response"]["previous_response_id"] is None
    assert len(served(demo)) == 3


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"previous_response_id": "resp_x", "input": "hi"}, "response_not_found"),
        ({"input": ""}, "invalid_input"),
        ({"input": []}, "invalid_input"),
        ({"input": [{"role": "system", "content": "hi"}]}, "invalid_input"),
        ({"input": "hi", "stream_id": "main"}, "invalid_input"),
        ({}, "invalid_input"),
    ],
)
async def test_steering_that_is_refused(
    frame: dict[str, Any], code: str, demo: Demo, socket: ResponsesSocket
) -> None:
    """It comes back with the reason and without an id; the response goes on, and has no successor."""
    await socket.create(stream_id="main")
    first = await socket.created()
    await socket.send("response.steer", **{"previous_response_id": first, **frame})
    *_, failed = await socket.until("response.steer.failed")
    demo.websocket.release()
    ended = await socket.ended()
    assert (failed["error"]["code"], "id" in failed["steer"]) == (code, False)
    assert failed["steer"]["input"] == frame.get("input")
    assert failed.get("stream_id") == (None if code == "response_not_found" else "main")
    assert served(demo) == [billed(ended)]


async def test_steering_of_a_response_that_has_ended(socket: ResponsesSocket, demo: Demo) -> None:
    """It is too late."""
    demo.set_websocket_faults()
    ended = await socket.answer()
    await socket.steer(ended["response"]["id"], "hi")
    [failed] = await socket.until("response.steer.failed")
    assert failed["error"]["code"] == "response_already_completed"


async def test_too_much_steering(demo: Demo, socket: ResponsesSocket) -> None:
    """So many are taken, and the next one is not."""
    demo.set_websocket_faults(WebSocketFault("hold", number=99))
    await socket.create()
    first = await socket.created()
    for number in range(9):
        await socket.steer(first, f"{number}")
    events = await socket.until("response.steer.failed")
    assert [e["type"] for e in events].count("response.steer.accepted") == 8
    assert events[-1]["error"]["code"] == "too_many_pending_steers"


async def test_any_other_refusal(demo: Demo, socket: ResponsesSocket) -> None:
    """The fault `steer_failed` refuses with the code that it names."""
    demo.set_websocket_faults(HOLD, WebSocketFault("steer_failed", code="steering_not_supported"))
    await socket.create()
    await socket.steer(await socket.created(), "hi")
    *_, failed = await socket.until("response.steer.failed")
    assert failed["error"]["code"] == "steering_not_supported"


async def test_a_successor_that_cannot_be_made(demo: Demo, socket: ResponsesSocket) -> None:
    """The steered response has ended, its steering comes back with its id, and nothing follows."""
    demo.set_websocket_faults(HOLD, WebSocketFault("error", at=2, calls=1))
    await socket.create()
    first = await socket.created()
    await socket.steer(first, "hi")
    events = await socket.until("response.steer.failed")
    [accepted] = [e for e in events if e["type"] == "response.steer.accepted"]
    assert events[-1]["error"]["code"] == "successor_creation_failed"
    assert events[-1]["steer"]["id"] == accepted["steer"]["id"]
    assert [entry["finish_reason"] for entry in demo.account()["by_call"]] == ["steered"]
    assert (await socket.answer(previous_response_id=first))["type"] == "response.completed"


async def test_an_interrupted_response_can_be_built_on(demo: Demo, socket: ResponsesSocket) -> None:
    """It ends as incomplete with its id and usage; a create that names it goes on from there."""
    await socket.create()
    first = await socket.created()
    await socket.send("response.interrupt", response_id=first, mode="discard_partial_items")
    ended = await socket.ended()
    follow = await socket.answer("go on", previous_response_id=first)
    assert ended["response"]["incomplete_details"] == {"reason": "interrupted"}
    assert served(demo) == [billed(ended), billed(follow)]
