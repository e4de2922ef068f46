"""How the demo misbehaves on a WebSocket, as a client sees it and as its account has it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from cab.proxy.demo import Demo, FaultMode, WebSocketFault, running_demo
from cab.proxy.demo.websocket.faults import ResponseFaultName
from tests.proxy.demo.websocket.test_responses import billed, served
from tests.tools.responses_socket import ResponsesSocket, responses_socket


@pytest_asyncio.fixture
async def demo() -> AsyncIterator[Demo]:
    async with running_demo() as running:
        yield running


@pytest_asyncio.fixture
async def socket(demo: Demo) -> AsyncIterator[ResponsesSocket]:
    async with responses_socket(demo.url) as connected:
        yield connected


async def seen_until_closed(socket: ResponsesSocket) -> tuple[list[str], int | None]:
    """Return the types of the events until the connection ends, and the code of its close frame."""
    kinds: list[str] = []
    try:
        while True:
            kinds.append((await socket.event())["type"])
    except ConnectionClosed as closed:
        return kinds, None if closed.rcvd is None else closed.rcvd.code


async def test_an_upgrade_makes_no_call(demo: Demo) -> None:
    """A connection that asks for nothing is not in the account; the answer has a header of its own."""
    async with responses_socket(demo.url, subprotocols=["openai-beta.responses.v1"]) as socket:
        assert socket.line.response is not None
        assert socket.line.response.headers["x-request-id"].startswith("req_")
        assert socket.line.subprotocol == "openai-beta.responses.v1"
    assert demo.account()["by_call"] == []


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_messages_are_compressed_for_who_offers_it(
    compression: str | None, demo: Demo
) -> None:
    """What is said is the same with permessage-deflate and without."""
    async with responses_socket(demo.url, compression=compression) as socket:
        assert bool(socket.line.protocol.extensions) is (compression is not None)
        assert (await socket.answer("hi " * 1000))["type"] == "response.completed"


async def test_a_plain_get_is_not_allowed(demo: Demo) -> None:
    """Without an upgrade the path is one to post to."""
    async with aiohttp.ClientSession(demo.url) as http, http.get("/v1/responses") as response:
        assert response.status == 405


@pytest.mark.parametrize("status", [400, 404, 405, 426, 500])
async def test_an_upgrade_that_is_refused(status: int, demo: Demo) -> None:
    """The upgrade is answered with the status and an error, and posting works as ever."""
    demo.set_websocket_faults(WebSocketFault("upgrade_status", status))
    with pytest.raises(InvalidStatus) as caught:
        async with responses_socket(demo.url):
            pass
    assert caught.value.response.status_code == status
    assert caught.value.response.body is not None
    assert "error" in orjson.loads(caught.value.response.body)
    async with (
        aiohttp.ClientSession(demo.url) as http,
        http.post("/v1/responses", json={"model": "m", "input": "hi"}) as response,
    ):
        assert response.status == 200
    assert demo.account()["calls"] == 1


async def test_an_upgrade_that_breaks(demo: Demo) -> None:
    """The connection is reset, or closed as soon as it is there."""
    demo.set_websocket_faults(
        WebSocketFault("upgrade_reset", calls=1), WebSocketFault("upgrade_close", 1011)
    )
    with pytest.raises((InvalidMessage, ConnectionError)):
        async with responses_socket(demo.url):
            pass
    async with responses_socket(demo.url) as socket:
        assert await seen_until_closed(socket) == ([], 1011)


async def test_an_upgrade_without_an_answer(demo: Demo) -> None:
    """Nothing comes until the demo is told to go on."""
    demo.set_websocket_faults(WebSocketFault("upgrade_silence", 404, calls=1))
    host, port = demo.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /v1/responses HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n")
    async with responses_socket(demo.url) as other:
        await other.answer()
    assert not reader._buffer  # type: ignore[attr-defined]
    demo.websocket.release()
    assert b" 404 " in await reader.readline()
    writer.close()


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (WebSocketFault("cut"), None),
        *((WebSocketFault("close", code), code) for code in (1000, 1001, 1009, 1011, 4001)),
    ],
)
@pytest.mark.parametrize("after", [0, 1, None, -1, 99])
async def test_a_connection_that_ends_early(
    fault: WebSocketFault, code: int | None, after: int | None, demo: Demo, socket: ResponsesSocket
) -> None:
    """So many events come before the end; what was made is in the account, as cut if it was not whole."""
    whole = [e["type"] for e in await all_events(demo)]
    demo.set_websocket_faults(fault._replace(after=after))
    await socket.create()
    kinds, seen = await seen_until_closed(socket)
    assert kinds == whole[: len(whole) // 2 if after is None else after]
    assert seen == code
    outcome = "served" if after == 99 else "cut"
    assert demo.account()["by_call"][-1]["outcome"] == outcome


async def all_events(demo: Demo) -> list[dict[str, Any]]:
    async with responses_socket(demo.url) as socket:
        await socket.create()
        return await socket.until("response.completed")


async def test_a_cut_takes_every_lane_along(demo: Demo, socket: ResponsesSocket) -> None:
    """Of two responses that run, one is cut by the fault; both are in the account."""
    demo.set_websocket_faults(WebSocketFault("hold", after=1, calls=1), WebSocketFault("cut", at=2))
    await socket.create(stream_id="a")
    await socket.created()
    await socket.create(stream_id="b")
    await seen_until_closed(socket)
    async with responses_socket(demo.url) as other:
        while len(demo.account()["by_call"]) < 2:
            await (await other.line.ping())
    assert (demo.account()["cut"], demo.account()["calls"]) == (1, 1)


async def test_an_error_at_the_nth_create(demo: Demo, socket: ResponsesSocket) -> None:
    """The create that the fault names gets its status, and the others their answers."""
    demo.set_websocket_faults(WebSocketFault("error", 429, code="slow_down", at=2, calls=1))
    first, error, third = [await socket.answer(stream_id="a") for _ in range(3)]
    assert (error["status"], error["error"]["code"]) == (429, "slow_down")
    assert error["stream_id"] == "a"
    statuses = [entry["status"] for entry in demo.account()["by_call"]]
    assert statuses == [200, 429, 200]
    assert [billed(first), billed(third)] == [row for row in served(demo) if row[0]]


async def test_a_flat_error(demo: Demo, socket: ResponsesSocket) -> None:
    """An error may come as it does in a stream of server-sent events."""
    demo.set_websocket_faults(WebSocketFault("flat_error", code="server_error", calls=1))
    error = await socket.answer()
    assert (error["code"], "error" in error, "status" in error) == ("server_error", False, False)


async def test_the_limit_of_a_connection(demo: Demo, socket: ResponsesSocket) -> None:
    """After so many creates comes the event of the whole connection, and then its close."""
    demo.set_websocket_faults(WebSocketFault("connection_limit", at=2, calls=1))
    await socket.answer(stream_id="a")
    error = await socket.answer(stream_id="a")
    assert await seen_until_closed(socket) == ([], 1000)
    assert error["error"]["code"] == "websocket_connection_limit_reached"
    assert (error["status"], "stream_id" in error) == (400, False)
    async with responses_socket(demo.url) as other:
        assert (await other.answer())["type"] == "response.completed"


async def test_usage_that_is_missing_late_or_of_a_failure(
    demo: Demo, socket: ResponsesSocket
) -> None:
    """The usage is in no event, in a later one, or in that of a response that failed."""
    demo.set_websocket_faults(
        WebSocketFault("no_usage", calls=1),
        WebSocketFault("late_usage", calls=1),
        WebSocketFault("failed", calls=1),
    )
    silent = await socket.answer()
    late = await socket.answer()
    [done] = await socket.until("response.done")
    failed = await socket.answer()
    assert silent["response"]["usage"] is late["response"]["usage"] is None
    assert done["response"]["id"] == late["response"]["id"]
    assert failed["type"] == "response.failed"
    assert failed["response"]["error"]["code"] == "server_error"
    assert served(demo)[1:] == [billed(done), billed(failed)]


async def test_messages_that_are_no_events(demo: Demo, socket: ResponsesSocket) -> None:
    """Between the events there may be bytes, a text that is not JSON, and a very long one."""
    faults: tuple[ResponseFaultName, ...] = ("binary", "not_json", "huge")
    size = 17 << 20
    demo.set_websocket_faults(*(WebSocketFault(name, size, calls=1) for name in faults))
    strange: list[str | bytes] = []
    for _ in faults:
        await socket.create()
        await socket.created()
        strange.append(await socket.line.recv())
        await socket.ended()
    binary, text, huge = strange
    assert (binary, text) == (b"\x00\x01", "not JSON")
    assert len(huge) > size


async def test_a_ping_of_the_server(demo: Demo) -> None:
    """The server may ask whether the client is there."""
    demo.set_websocket_faults(WebSocketFault("ping"))
    async with (
        aiohttp.ClientSession(demo.url) as http,
        http.ws_connect("/v1/responses", autoping=False) as line,
    ):
        await line.send_json({"type": "response.create", "model": "m", "input": "hi"})
        messages = [await line.receive() for _ in range(2)]
    assert messages[1].type is aiohttp.WSMsgType.PING
    assert messages[1].data == b"demo"


async def test_bytes_are_not_accepted(socket: ResponsesSocket) -> None:
    """A client that sends bytes is told by the code of the close."""
    await socket.line.send(b"{}")
    assert await seen_until_closed(socket) == ([], 1003)


@pytest.mark.parametrize(
    ("mode", "status"), [("unauthorized", 401), ("rate_limited:1", 429), ("budget:1", 400)]
)
async def test_fault_modes_refuse_creates(
    mode: str, status: int, demo: Demo, socket: ResponsesSocket
) -> None:
    """What a posted call would be refused with, a create gets as an event."""
    demo.set_fault_mode(mode)
    error = await socket.answer(stream_id="a")
    assert (error["type"], error["status"], error["stream_id"]) == ("error", status, "a")
    assert demo.account()["by_call"][0]["status"] == status


async def test_fault_modes_in_an_answer(demo: Demo, socket: ResponsesSocket) -> None:
    """A slow stream says the same, and a cut one breaks in its middle."""
    demo.set_fault_mode(FaultMode("slow_stream", 1, pause_s=0.001))
    slow = await socket.answer()
    demo.set_fault_mode("cut_stream")
    await socket.create()
    kinds, code = await seen_until_closed(socket)
    assert slow["type"] == "response.completed"
    assert (kinds[0], kinds[-1] == "response.completed", code) == ("response.created", False, None)
    assert [entry["outcome"] for entry in demo.account()["by_call"]] == ["served", "cut"]
