"""The `openai` package over a WebSocket: what it is told is what the ledger and the endpoint hold."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.lib.responses_websocket import (
    AsyncResponsesWebSocketSession,
    ResponsesWebSocketLimits,
    ResponsesWebSocketSession,
)
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from cab.adapters.tasks.loader import list_tasks
from cab.proxy.demo import Demo, WebSocketFault
from tests.tools.proxy import Meter
from tests.tools.sdk import Sdk, assert_account_agrees, demo_behind

LIMITS = ResponsesWebSocketLimits(
    max_lanes=8,
    max_events_per_lane=256,
    max_events=1024,
    max_bytes_per_lane=1 << 24,
    max_bytes=1 << 25,
    max_response_bytes=None,
)
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
ENDS = ("response.completed", "response.incomplete", "response.failed", "error")


def create(text: str = "hi", **more: Any) -> Any:
    """Return the event that asks for a response, in the form in which the SDK sends it as it is."""
    return {"type": "response.create", "model": "m", "input": text, "store": False, **more}


@asynccontextmanager
async def connected(meter: Meter) -> AsyncGenerator[Sdk]:
    """Connect the SDK's asynchronous client to the proxy."""
    async with (
        openai.AsyncOpenAI(base_url=f"{meter.url}/v1", api_key="own-key") as client,
        client.responses.connect(websocket_connection_options={"max_size": None}) as connection,
    ):
        yield connection


async def until(connection: Sdk, *kinds: str) -> list[Any]:
    """Return the events up to the first one of a type."""
    events = [await connection.recv()]
    while events[-1].type not in kinds:
        events.append(await connection.recv())
    return events


def assert_told(rows: list[dict[str, Any]], responses: list[Any]) -> None:
    """The SDK was told the usage that the ledger has, and the ids."""
    told = [(r.id, r.usage.input_tokens, r.usage.output_tokens) for r in responses]
    assert [
        (row["upstream_id"], row["prompt_tokens"], row["completion_tokens"]) for row in rows
    ] == told


async def settled(demo: Demo, meter: Meter, calls: int) -> list[dict[str, Any]]:
    """Return the ledger's rows, which are the account's entries, number for number."""
    rows = await meter.settled(calls)
    assert_account_agrees(demo, rows)
    assert {row["transport"] for row in rows} == {"websocket"}
    return rows


async def test_a_conversation(tmp_path: Path) -> None:
    """A warm-up, a tool call and its result: three rows, the whole context in each, the first marked."""
    async with demo_behind(tmp_path) as (demo, meter):
        async with connected(meter) as connection:
            await connection.send(create(TASK, tools=[BASH], generate=False))
            warm = (await until(connection, *ENDS))[-1].response
            await connection.send(
                create(TASK, tools=[BASH], previous_response_id=warm.id),
            )
            asked = (await until(connection, *ENDS))[-1].response
            [call] = [item for item in asked.output if item.type == "function_call"]
            result = {"type": "function_call_output", "call_id": call.call_id, "output": "README"}
            await connection.response.create(
                model="m", input=[result], tools=[BASH], previous_response_id=asked.id
            )
            last = (await until(connection, *ENDS))[-1].response
        rows = await settled(demo, meter, 3)
    assert_told(rows, [warm, asked, last])
    assert [row["warmup"] for row in rows] == [True, False, False]
    assert rows[0]["completion_tokens"] == 0
    prompts = [row["prompt_tokens"] for row in rows]
    assert prompts == sorted(set(prompts))
    assert len({row["connection_id"] for row in rows}) == 1


async def test_creates_that_are_sent_at_once(tmp_path: Path) -> None:
    """Three creates before the first event are answered in their order, and each has its own row."""
    async with demo_behind(tmp_path) as (demo, meter):
        async with connected(meter) as connection:
            for text in ("one", "two two", "three three three"):
                await connection.send(create(text))
            ended = [(await until(connection, *ENDS))[-1].response for _ in range(3)]
        rows = await settled(demo, meter, 3)
    assert_told(rows, ended)
    assert len({row["prompt_tokens"] for row in rows}) == 3


async def test_lanes_of_a_session(tmp_path: Path) -> None:
    """Lanes that run at once keep their counts apart: the one that was asked first ends last."""
    async with demo_behind(tmp_path) as (demo, meter):
        demo.set_websocket_faults(WebSocketFault("hold", calls=1))
        async with (
            connected(meter) as connection,
            AsyncResponsesWebSocketSession(connection, limits=LIMITS) as session,
        ):
            slow, quick = session.lane("slow"), session.lane("quick")
            await slow.send(create("slow " * 50))
            assert (await slow.recv()).type == "response.created"
            await quick.send(create("quick"))
            second = await quick.get_final_response()
            demo.websocket.release()
            first = await slow.get_final_response()
        rows = await settled(demo, meter, 2)
    assert_told(rows, [second, first])
    assert [row["stream_id"] for row in rows] == ["quick", "slow"]


async def test_steering(tmp_path: Path) -> None:
    """A steered response and its successor are two rows, of which the second names the first."""
    async with demo_behind(tmp_path) as (demo, meter):
        demo.set_websocket_faults(WebSocketFault("hold", calls=1))
        async with connected(meter) as connection:
            await connection.send(create("hi", stream_id="main"))
            [created] = await until(connection, "response.created")
            await connection.response.steer(
                previous_response_id=created.response.id, input="in German"
            )
            events = await until(connection, "response.completed")
        rows = await settled(demo, meter, 2)
    steered = next(event for event in events if event.type == "response.incomplete").response
    assert_told(rows, [steered, events[-1].response])
    assert events[-1].response.previous_response_id == steered.id
    assert [row["steered_from"] for row in rows] == [None, rows[0]["call_id"]]
    assert [row["end_reason"] for row in rows] == ["completed", "completed"]


async def test_late_steering_beside_a_create_that_waits(tmp_path: Path) -> None:
    """The successor is not taken for the answer to the create that waits behind it."""
    async with demo_behind(tmp_path) as (demo, meter):
        demo.set_websocket_faults(WebSocketFault("late_steer", calls=1))
        async with connected(meter) as connection:
            await connection.send(create("first"))
            [created] = await until(connection, "response.created")
            await connection.send(create("another one"))
            await connection.response.steer(
                previous_response_id=created.response.id, input="in German"
            )
            ended = [(await until(connection, "response.completed"))[-1] for _ in range(3)]
        rows = await settled(demo, meter, 3)
    assert_told(rows, [event.response for event in ended])
    assert [row["steered_from"] for row in rows] == [None, rows[0]["call_id"], None]


async def test_steering_that_waits_for_a_tool(tmp_path: Path) -> None:
    """Where the client must answer a tool call first, its create is the next row, and no successor is."""
    async with demo_behind(tmp_path) as (demo, meter):
        demo.set_websocket_faults(WebSocketFault("hold", calls=1))
        async with connected(meter) as connection:
            await connection.send(create(TASK, tools=[BASH]))
            [created] = await until(connection, "response.created")
            await connection.response.steer(
                previous_response_id=created.response.id, input="in German"
            )
            pending = (await until(connection, "response.steer.pending"))[-1]
            result = {**pending.required_input[0].model_dump(), "output": "README"}
            follow = create(tools=[BASH], previous_response_id=created.response.id)
            await connection.send({**follow, "input": [result]})
            await until(connection, "response.completed")
        rows = await settled(demo, meter, 2)
    assert [row["steered_from"] for row in rows] == [None, None]


async def test_an_error_event_and_then_an_answer(tmp_path: Path) -> None:
    """A create that is refused by the endpoint costs nothing, and the connection goes on."""
    async with demo_behind(tmp_path) as (demo, meter):
        async with connected(meter) as connection:
            await connection.send(create(previous_response_id="resp_x"))
            [error] = await until(connection, "error")
            await connection.send(create())
            await until(connection, "response.completed")
        rows = await meter.settled(2)
        served = demo.account()["by_call"]
    assert (error.status, error.error.code) == (400, "previous_response_not_found")
    assert [row["end_reason"] for row in rows] == ["upstream_error", "completed"]
    assert [row["status"] for row in rows] == [entry["status"] for entry in served]
    assert (rows[1]["upstream_id"], rows[1]["prompt_tokens"]) == (
        served[1]["id"],
        served[1]["prompt_tokens"],
    )


@pytest.mark.parametrize("code", [1009, 1011])
async def test_a_connection_that_the_endpoint_closes(code: int, tmp_path: Path) -> None:
    """In the middle of a response the SDK sees the endpoint's own code, and the row that it was cut."""
    async with demo_behind(tmp_path) as (demo, meter):
        demo.set_websocket_faults(WebSocketFault("close", code, calls=1))
        async with connected(meter) as connection:
            await connection.send(create())
            with pytest.raises(ConnectionClosedError) as caught:
                await until(connection, *ENDS)
        [row] = await meter.settled(1)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == code
    assert row["end_reason"] == "upstream_cut"


@pytest.mark.parametrize("status", [400, 404, 405, 426])
async def test_an_endpoint_without_websockets(status: int, tmp_path: Path) -> None:
    """The SDK is refused with 426 whatever the endpoint says, no row is written, and posting works."""
    async with demo_behind(tmp_path) as (demo, meter):
        demo.set_websocket_faults(WebSocketFault("upgrade_status", status))
        with pytest.raises(InvalidStatus) as caught:
            async with connected(meter):
                pass
        async with openai.AsyncOpenAI(base_url=f"{meter.url}/v1", api_key="own-key") as client:
            await client.responses.create(model="m", input="hi")
        rows = await meter.settled(1)
    assert caught.value.response.status_code == 426
    assert_account_agrees(demo, rows)


async def test_a_connection_without_a_create(tmp_path: Path) -> None:
    """Who connects and asks for nothing leaves no row."""
    async with demo_behind(tmp_path) as (demo, meter):
        async with connected(meter):
            pass
        assert await meter.settled(0) == []
        assert demo.account()["by_call"] == []


def converse(url: str) -> list[Any]:
    """Ask twice with the synchronous client, the second time on a lane of a session."""
    options: Any = {"max_size": None}
    with (
        openai.OpenAI(base_url=f"{url}/v1", api_key="own-key") as client,
        client.responses.connect(websocket_connection_options=options) as connection,
        ResponsesWebSocketSession(connection, limits=LIMITS) as session,
    ):
        session.default.send(create())
        first = session.default.get_final_response(timeout=20)
        lane = session.lane("fork")
        lane.send(create("more", previous_response_id=first.id))
        return [first, lane.get_final_response(timeout=20)]


# The SDK's way to connect is one that the newest `websockets` warns of.
@pytest.mark.filterwarnings("ignore:connect\\(\\) must be used as:DeprecationWarning")
async def test_the_synchronous_client(tmp_path: Path) -> None:
    """It reads the same, and forks a conversation to another lane."""
    async with demo_behind(tmp_path) as (demo, meter):
        responses = await asyncio.to_thread(converse, meter.url)
        rows = await settled(demo, meter, 2)
    assert_told(rows, responses)
    assert [row["stream_id"] for row in rows] == [None, "fork"]
