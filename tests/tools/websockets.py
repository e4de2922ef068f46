"""An endpoint that speaks WebSocket as a script tells it, message by message."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from aiohttp import WSMsgType, web

USAGE = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
MESSAGE = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "hey"}],
}


@dataclass
class Peer:
    """One connection, as the endpoint has it."""

    request: web.BaseRequest
    ws: web.WebSocketResponse
    frames: list[Any] = field(default_factory=list[Any])
    """Text and binary messages that came, as they came."""
    closed_with: int | None = None
    """Code of the Close that came; None while there is none, or if the connection just ended."""

    async def next(self) -> aiohttp.WSMessage:
        message = await self.ws.receive(20)
        if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
            self.frames.append(message.data)
        if message.type is WSMsgType.CLOSE:
            self.closed_with = message.data
        return message

    async def frame(self) -> Any:
        """Return the next message, parsed; it must be one."""
        message = await self.next()
        assert message.type in {WSMsgType.TEXT, WSMsgType.BINARY}, message
        return orjson.loads(message.data)

    async def send(self, *events: Any) -> None:
        for event in events:
            await self.ws.send_str(
                event if isinstance(event, str) else orjson.dumps(event).decode()
            )

    async def answer(self, response_id: str, lane: str | None = None, **response: Any) -> None:
        """Send a whole response."""
        await self.send(*events(response_id, lane, **response))

    async def until_closed(self) -> None:
        while (await self.next()).type in {WSMsgType.TEXT, WSMsgType.BINARY}:
            pass

    def drop(self) -> None:
        """End the connection without a Close."""
        assert self.request.transport is not None
        self.request.transport.abort()


def created(response_id: str, lane: str | None = None, **response: Any) -> dict[str, Any]:
    body = {
        "id": response_id,
        "model": "gpt-x-1",
        "status": "in_progress",
        "usage": None,
        **response,
    }
    return in_lane({"type": "response.created", "response": body}, lane)


def delta(text: str = "hey", lane: str | None = None) -> dict[str, Any]:
    return in_lane({"type": "response.output_text.delta", "output_index": 0, "delta": text}, lane)


def ended(
    response_id: str, lane: str | None = None, status: str = "completed", **response: Any
) -> dict[str, Any]:
    body = {
        "id": response_id,
        "model": "gpt-x-1",
        "status": status,
        "output": [MESSAGE],
        "usage": USAGE,
    }
    return in_lane({"type": f"response.{status}", "response": {**body, **response}}, lane)


def events(response_id: str, lane: str | None = None, **response: Any) -> list[dict[str, Any]]:
    """Return the events of a whole response."""
    return [created(response_id, lane), delta("hey", lane), ended(response_id, lane, **response)]


def error(code: str, status: int = 400, lane: str | None = None) -> dict[str, Any]:
    stated = {
        "type": "invalid_request_error",
        "code": code,
        "message": f"about {code}",
        "param": None,
    }
    return in_lane({"type": "error", "status": status, "error": stated}, lane)


def in_lane(event: dict[str, Any], lane: str | None) -> dict[str, Any]:
    return event if lane is None else {**event, "stream_id": lane}


Play = Callable[[Peer], Awaitable[None]]


@dataclass
class WebSocketEndpoint:
    """What an endpoint has seen."""

    url: str = ""
    upgrades: list[web.BaseRequest] = field(default_factory=list[web.BaseRequest])
    peers: list[Peer] = field(default_factory=list[Peer])
    faults: list[BaseException] = field(default_factory=list[BaseException])
    done: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a script is over."""


@asynccontextmanager
async def websocket_endpoint(
    play: Play,
    *,
    headers: Mapping[str, str] | None = None,
    refuse: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] | None = None,
    **options: Any,
) -> AsyncGenerator[WebSocketEndpoint]:
    """Run an endpoint that plays a script on every connection; its faults are those of the test.

    Args:
        play: The script.
        headers: Further headers of its 101.
        refuse: Answers upgrades instead of the script.
        options: Those of `web.WebSocketResponse`.
    """
    endpoint = WebSocketEndpoint()

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        endpoint.upgrades.append(request)
        if refuse is not None:
            return await refuse(request)
        sizes = {"max_msg_size": 1 << 28, "autoping": False, "autoclose": False, "timeout": 2}
        ws = web.WebSocketResponse(**{**sizes, **options})
        ws.headers.extend(headers or {})
        await ws.prepare(request)
        peer = Peer(request, ws)
        endpoint.peers.append(peer)
        try:
            await play(peer)
        except (AssertionError, Exception) as error:  # noqa: BLE001 - the test raises it again
            endpoint.faults.append(error)
        endpoint.done.set()
        return ws

    runner = web.ServerRunner(web.Server(serve), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield endpoint
    finally:
        await runner.cleanup()
    for fault in endpoint.faults:
        raise fault


@dataclass
class Client:
    """A client of a connection."""

    ws: aiohttp.ClientWebSocketResponse

    async def send(self, frame: Any) -> None:
        await self.ws.send_str(frame if isinstance(frame, str) else orjson.dumps(frame).decode())

    async def create(self, lane: str | None = None, **fields: Any) -> None:
        await self.send(create(lane, **fields))

    async def raw(self) -> str:
        """Return the next message as it came."""
        message = await self.ws.receive(20)
        assert message.type is WSMsgType.TEXT, message
        return str(message.data)

    async def event(self) -> Any:
        return orjson.loads(await self.raw())

    async def until(self, kind: str) -> list[Any]:
        """Return the events up to one of a type."""
        found = [await self.event()]
        while found[-1]["type"] != kind:
            found.append(await self.event())
        return found

    async def response(self) -> Any:
        """Return the response of the next `response.completed`."""
        return (await self.until("response.completed"))[-1]["response"]

    async def closed(self) -> tuple[int | None, str]:
        """Return code and reason of the Close that comes; None if the connection just ends."""
        message = await self.ws.receive(20)
        if message.type is WSMsgType.CLOSE:
            return message.data, message.extra or ""
        assert message.type in {WSMsgType.CLOSED, WSMsgType.ERROR}, message
        return None, ""

    def drop(self) -> None:
        """End the connection without a Close."""
        self.ws._response.close()


def create(lane: str | None = None, **fields: Any) -> dict[str, Any]:
    """Return a small create."""
    return in_lane({"type": "response.create", "model": "gpt-x", "input": "hi", **fields}, lane)


@asynccontextmanager
async def connected(
    session: aiohttp.ClientSession, url: str, path: str = "/v1/responses", **options: Any
) -> AsyncGenerator[Client]:
    """Open a connection."""
    options = {"autoping": False, "autoclose": False, "max_msg_size": 0, **options}
    async with session.ws_connect(url + path, **options) as ws:
        yield Client(ws)
