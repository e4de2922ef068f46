"""What the client sends: each message passes unchanged, once what it asks for is admitted."""

import asyncio
from functools import partial

import aiohttp
import orjson
from aiohttp import WSMsgType

from cab.proxy.errors import LedgerFailed, Rejected
from cab.proxy.forwarding.body_budget import BodyShare
from cab.proxy.forwarding.websocket.calls import ConnectionCalls
from cab.proxy.forwarding.websocket.lanes import Lane
from cab.proxy.forwarding.websocket.response_call import EVENT_STATUS, ResponseCall
from cab.proxy.forwarding.websocket.sockets import (
    ClientSocket,
    Closing,
    UpstreamSocket,
    closing_of,
)
from cab.proxy.http.error_responses import OVERLOAD, ErrorResponse, RequestFailed, body_for
from cab.proxy.meter.json_values import JsonObject

_STEER = "response.steer"
_ASKING = ("response.create", _STEER)
_NO_ROOM = Rejected(
    OVERLOAD, "there is no room for the message; try again, or raise body_budget_bytes"
)
_LEDGER_FAILED = ErrorResponse(
    503, "ledger_failed", "the audit log cannot be written; call refused"
)


class Asking:
    """Reads the client of a connection.

    Args:
        calls: Those of the connection.
        client: The client's end.
        upstream: The endpoint's end.
    """

    def __init__(
        self, calls: ConnectionCalls, client: ClientSocket, upstream: UpstreamSocket
    ) -> None:
        self._calls = calls
        self._client = client
        self._upstream = upstream
        self._last: dict[Lane, ResponseCall] = {}
        """The newest create of each lane whose frame has not left yet."""

    async def run(self) -> Closing:
        """Pass messages on; return how the client ended the connection."""
        while True:
            message = await self._client.socket.receive()
            match message.type:
                case WSMsgType.TEXT | WSMsgType.BINARY:
                    await self._message(message)
                case WSMsgType.PING | WSMsgType.PONG:
                    await self._upstream.send(message)
                case _:
                    return closing_of(message)

    async def _message(self, message: aiohttp.WSMessage) -> None:
        """Pass a message on, or answer it with an error event."""
        share = self._client.take()
        content: JsonObject = {}
        under_way = False
        try:
            frame: bytes = b""
            fault: Rejected | None = _NO_ROOM
            if not share.given_up:
                frame = _bytes_of(message)
                content, fault = await self._calls.read(frame)
            if fault is not None:
                await self._reject(frame, content, fault, share.queued_ms)
            elif content["type"] in _ASKING:
                under_way = await self._ask(message, frame, content, share)
            else:
                self._calls.admissible()
                await self._upstream.send(message)
        except RequestFailed as error:
            await self._refuse(content.get("stream_id"), error.response)
        except LedgerFailed:
            await self._refuse(content.get("stream_id"), _LEDGER_FAILED)
        finally:
            if not under_way:
                share.release()

    async def _ask(
        self, message: aiohttp.WSMessage, frame: bytes, content: JsonObject, share: BodyShare
    ) -> bool:
        """Make a call of a frame; it leaves once its cell lets it through, in the order of its lane.

        Returns:
            Whether the call is under way, and has the share.
        """
        await self._calls.room_for(len(frame))
        is_steer, queued_ms = content["type"] == _STEER, share.queued_ms
        meter = await self._calls.meter(frame)
        call = self._calls.make(frame, content, meter, is_steer=is_steer, queued_ms=queued_ms)
        before = None
        if not is_steer:
            model = call.context.request.model
            call.refusal = call.refusal or self._calls.misrouted(model)
        if call.refusal is not None:
            await self._admitted(call)
            return False
        if not is_steer:
            before, self._last[call.lane] = self._last.get(call.lane), call
        self._calls.run(call, len(frame), partial(self._begin, call, message, before), share)
        return True

    async def _reject(
        self, frame: bytes, content: JsonObject, why: Rejected, queued_ms: float
    ) -> None:
        """Refuse a message that is not read as a call; its cell has a record of it."""
        meter = await self._calls.meter(frame)
        call = self._calls.make(frame, content, meter, queued_ms=queued_ms)
        call.refusal = why
        await self._admitted(call)

    async def _begin(
        self, call: ResponseCall, message: aiohttp.WSMessage, before: ResponseCall | None
    ) -> bool:
        """Take a call up to where its frame has left; return whether it is under way then."""
        try:
            if before is not None:
                await call.wait_for(before.left)
            return await self._admitted(call) and await self._forward(call, message)
        except LedgerFailed:
            await self._refuse(call.stream_id, _LEDGER_FAILED)
            return False
        finally:
            call.left.set()
            if self._last.get(call.lane) is call:
                del self._last[call.lane]

    async def _admitted(self, call: ResponseCall) -> bool:
        """Return whether the call may be made, with its START on disk; else it is refused."""
        if call.withdrawn:
            return False
        refusal = await call.admit()
        if refusal is not None:
            await self._refuse(call.stream_id, refusal)
            return False
        if not call.is_steer:  # whether it leads to a response is not known yet
            await call.start()
        return True

    async def _forward(self, call: ResponseCall, message: aiohttp.WSMessage) -> bool:
        if call.withdrawn:
            if not call.is_steer:
                error = aiohttp.ClientConnectionError("the connection ended before it was sent")
                await call.break_off(error, self._calls.host)
            return False
        lanes = self._calls.lanes
        take_note = lanes.steered if call.is_steer else lanes.created
        take_note(call)
        call.sending()
        loop = asyncio.get_running_loop()
        sending = loop.create_task(self._upstream.send(message))
        waking = loop.create_task(call.wake.wait())
        try:  # an endpoint that reads nothing must not hold up the end of the call
            await asyncio.wait((sending, waking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            waking.cancel()
        return True

    async def _refuse(self, stream_id: object, error: ErrorResponse) -> None:
        """Answer with an error event; the connection goes on."""
        lane = {"stream_id": stream_id} if isinstance(stream_id, str) else {}
        event = {"type": "error", "status": EVENT_STATUS, **lane}
        stated = orjson.loads(body_for("responses", error))
        await self._client.send_text(orjson.dumps({**event, **stated}).decode())


def _bytes_of(message: aiohttp.WSMessage) -> bytes:
    """Return a message of either type as bytes."""
    data: bytes | str = message.data
    return data if isinstance(data, bytes) else data.encode()
