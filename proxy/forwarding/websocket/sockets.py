"""The two ends of a connection: what comes from them, and how they are closed."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import aiohttp
from aiohttp import WSMsgType, web
from aiohttp.http import WebSocketWriter

from cab.proxy.forwarding.body_budget import BodyShare
from cab.proxy.forwarding.websocket.frame_gate import FrameGate

CLOSE_LIMIT_S = 2.0
"""How long a peer may take to answer a Close before its connection is dropped."""
GOING_AWAY = 1001


class Closing(NamedTuple):
    """How one side ended the connection."""

    code: int | None
    """Code of its Close frame, 0 for one without; None if the connection ended without such a frame."""
    reason: bytes = b""

    @property
    def text(self) -> str:
        """The same for a person."""
        if self.code is None:
            return "the connection ended without a Close"
        return f"the connection was closed (code {self.code or 1005})"


def closing_of(message: aiohttp.WSMessage) -> Closing:
    """Return how a connection ended, by the message that says so."""
    if message.type is WSMsgType.CLOSE:
        return Closing(message.data, (message.extra or "").encode())
    if isinstance(message.data, aiohttp.WebSocketError):
        return Closing(message.data.code)  # that peer has got this code already
    return Closing(None)


class _Line:
    """The client's connection, for a `FrameGate`."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request

    @property
    def is_held_up(self) -> bool:
        protocol: Any = self._request.protocol
        return bool(protocol._reading_paused)  # noqa: SLF001 - there is no public name

    def pause(self) -> None:
        if self._request.transport is not None:
            self._request.transport.pause_reading()

    def resume(self) -> None:
        if self._request.transport is not None and not self.is_held_up:
            self._request.transport.resume_reading()

    def close(self) -> None:
        if self._request.transport is not None:
            self._request.transport.close()


class ForwardedWebSocket(web.WebSocketResponse):
    """An answer to an upgrade with just the headers that the endpoint sent; aiohttp adds some.

    Args:
        room: Makes what a message holds of the budget for bodies.
        max_message_bytes: A larger message ends the connection.
        progress_timeout_s: How long the next 1024 bytes of a message, or its end, may take.
        protocols: Subprotocols that the endpoint takes.
    """

    def __init__(
        self,
        room: Callable[[], BodyShare],
        max_message_bytes: int,
        progress_timeout_s: float,
        protocols: Iterable[str] = (),
    ) -> None:
        super().__init__(
            timeout=CLOSE_LIMIT_S,
            autoclose=False,
            autoping=False,
            protocols=protocols,
            compress=False,
            max_msg_size=max_message_bytes,
        )
        self._limits = room, max_message_bytes, progress_timeout_s
        self.gate: FrameGate | None = None
        """Lets messages in for which there is room; None before the connection is there."""

    def _post_start(
        self, request: web.BaseRequest, protocol: str | None, writer: WebSocketWriter
    ) -> None:
        # aiohttp has no public way to put something before its reader.
        line: Any = request.protocol
        tail, line._message_tail = line._message_tail, b""  # noqa: SLF001
        super()._post_start(request, protocol, writer)
        self.gate = FrameGate(line._payload_parser, _Line(request), *self._limits)  # noqa: SLF001
        line._payload_parser = self.gate  # noqa: SLF001
        if tail:
            self.gate.feed_data(tail)

    async def _prepare_headers(self) -> None:
        sent = self.headers.copy()
        await super()._prepare_headers()
        self.headers.clear()
        self.headers.extend(sent)


class ClientSocket:
    """The client's end.

    Args:
        request: Its upgrade.
        socket: Prepared.
    """

    def __init__(self, request: web.BaseRequest, socket: ForwardedWebSocket) -> None:
        self._request = request
        self.socket = socket
        self.gone = False

    def take(self) -> BodyShare:
        """Return what the message holds that was received last."""
        assert self.socket.gate is not None
        return self.socket.gate.take()

    async def send(self, message: aiohttp.WSMessage) -> None:
        """Pass a message on, unless the client has gone."""
        if not self.gone:
            try:
                await forward(self.socket, message)
            except ConnectionError:
                self.gone = True

    async def send_text(self, text: str) -> None:
        """Send a message of the proxy."""
        await self.send(aiohttp.WSMessage(WSMsgType.TEXT, text, None))

    async def close(self, closing: Closing) -> None:
        """End the connection in the same way."""
        self.gone = True
        if self.socket.gate is not None:
            self.socket.gate.close()
        if not await closed(self.socket, closing) and self._request.transport is not None:
            self._request.transport.close()


class UpstreamSocket:
    """The endpoint's end.

    Args:
        socket: The connection.
        answer: The answer to the upgrade.
    """

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse, answer: aiohttp.ClientResponse
    ) -> None:
        self.socket = socket
        self.answer = answer

    async def send(self, message: aiohttp.WSMessage) -> None:
        """Pass a message on; one that can no longer be sent is lost, and the end of the connection says so."""
        with suppress(ConnectionError):
            await forward(self.socket, message)

    async def close(self, closing: Closing) -> None:
        """End the connection in the same way."""
        await closed(self.socket, closing)
        self.answer.close()


Socket = ForwardedWebSocket | aiohttp.ClientWebSocketResponse


async def forward(socket: Socket, message: aiohttp.WSMessage) -> None:
    """Send a message as it came; what is no message of the peer is passed over."""
    match message.type:
        case WSMsgType.TEXT:
            await socket.send_str(message.data)
        case WSMsgType.BINARY:
            await socket.send_bytes(message.data)
        case WSMsgType.PING:
            await socket.ping(message.data)
        case WSMsgType.PONG:
            await socket.pong(message.data)
        case _:
            pass


async def closed(socket: Socket, closing: Closing) -> bool:
    """Send a Close frame, if there was one, and wait for its answer; return whether it was sent."""
    if closing.code is None:
        return False
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(CLOSE_LIMIT_S):
            if closing.code:
                await socket.close(code=closing.code, message=closing.reason)
                return True
            await socket.send_frame(b"", WSMsgType.CLOSE)
            while (await socket.receive()).type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                pass
    return False
