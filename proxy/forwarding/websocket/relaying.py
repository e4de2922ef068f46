"""What the endpoint sends: each message passes unchanged, once the records that it calls for are on disk."""

import asyncio

import aiohttp
from aiohttp import WSMsgType

from cab.proxy.forwarding.services import ProxyServices
from cab.proxy.forwarding.websocket.calls import ConnectionCalls
from cab.proxy.forwarding.websocket.lanes import Step
from cab.proxy.forwarding.websocket.response_call import Event, ResponseCall
from cab.proxy.forwarding.websocket.sockets import (
    ClientSocket,
    Closing,
    UpstreamSocket,
    closing_of,
)
from cab.proxy.http.error_responses import RequestFailed
from cab.proxy.meter.json_values import JsonObject, as_object, as_text
from cab.proxy.meter.response.large_body import object_of

_LATE_USAGE_S = 0.5
"""How long the last event of a response waits for the next one of the same response, if it has no usage.

A server is known that states it in a `response.done` behind `response.completed` (vm0-ai/vm0#27721)."""
_POLICY = Closing(1008, b"the cell may make no call")


class Relaying:
    """Reads the endpoint of a connection.

    Args:
        services: What every call uses.
        calls: Those of the connection.
        client: The client's end.
        upstream: The endpoint's end.
    """

    def __init__(
        self,
        services: ProxyServices,
        calls: ConnectionCalls,
        client: ClientSocket,
        upstream: UpstreamSocket,
    ) -> None:
        self._drain_max_bytes = services.settings.drain_max_bytes
        self._calls = calls
        self._client = client
        self._upstream = upstream
        self._drained_bytes = 0
        self._late_usage = True
        """Whether usage may come behind the last event: not once it did not."""
        self._held: tuple[ResponseCall, aiohttp.WSMessage] | None = None
        self._reading: asyncio.Task[aiohttp.WSMessage] | None = None

    async def run(self) -> Closing:
        """Pass messages on; return how the endpoint ended the connection."""
        try:
            while True:
                message = await self._next()
                if message is None:
                    await self._let_go()
                elif message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                    if (closing := await self._message(message)) is not None:
                        return closing
                elif message.type in {WSMsgType.PING, WSMsgType.PONG}:
                    await self._client.send(message)
                else:
                    await self._let_go()
                    return closing_of(message)
        finally:
            if self._reading is not None:
                self._reading.cancel()

    async def _next(self) -> aiohttp.WSMessage | None:
        """Return the next message; None if an event is held and none has come for a while."""
        if self._held is None and self._reading is None:
            return await self._upstream.socket.receive()
        if self._reading is None:
            loop = asyncio.get_running_loop()
            self._reading = loop.create_task(self._upstream.socket.receive())
        limit_s = None if self._held is None else _LATE_USAGE_S
        await asyncio.wait((self._reading,), timeout=limit_s)
        if not self._reading.done():
            self._late_usage = False
            return None
        reading, self._reading = self._reading, None
        return reading.result()

    async def _message(self, message: aiohttp.WSMessage) -> Closing | None:
        """Pass a message on, or return how the connection must end instead."""
        data: bytes = message.data if message.type is WSMsgType.BINARY else message.data.encode()
        members, whole = object_of(data)
        event = Event(members or {}, len(data), whole, data)
        if self._held is not None:
            self._take_late(self._held[0], event)
            await self._let_go()
        if members is not None:
            step = self._calls.lanes.take(members)
            if not await self._take(step, event):
                return _POLICY
            if step.call is not None and step.ends:
                if self._waits_for_usage(step.call, members):
                    self._held = step.call, message
                    return None
                await step.call.conclude()
        await self._client.send(message)
        if self._client.gone:
            self._drained_bytes += len(data)
            if self._drained_bytes > self._drain_max_bytes:
                return Closing(None)
        return None

    async def _take(self, step: Step[ResponseCall], event: Event) -> bool:
        """Bring the calls to where an event takes them; return whether it may be passed on."""
        for steer in step.settled:
            steer.drop()
        for call in step.refused:
            await call.refused(event)
        if step.unasked and not await self._unasked(step, event.members):
            return False
        if step.call is not None:
            if step.call.is_steer:
                await step.call.start()
            step.call.feed(event)
        return True

    async def _unasked(self, step: Step[ResponseCall], event: JsonObject) -> bool:
        """Make a call of a response that nobody asked for; return whether its cell may make it.

        The client may have asked in a way that is not known here.
        """
        calls, lanes = self._calls, self._calls.lanes
        try:
            call = calls.make(b"", event, await calls.meter(b""))
        except RequestFailed:
            return False
        call.sending()
        why = await call.admit_unasked()
        step.call = call
        calls.run(call, 0, _under_way)
        if why is not None:
            await call.break_off(why, calls.host)
            return False
        await call.start()
        lanes.add(call, as_text(as_object(event.get("response")).get("id")))
        if step.ends:
            lanes.remove(call)
        return True

    def _waits_for_usage(self, call: ResponseCall, event: JsonObject) -> bool:
        if call.over or call.meter.has_usage:
            return False
        return event.get("type") == "error" or (self._late_usage and not call.meter.has_error)

    def _take_late(self, call: ResponseCall, event: Event) -> None:
        """Take an event behind the last one of a response, if it is of the same response."""
        response_id = as_text(as_object(event.members.get("response")).get("id"))
        if response_id is not None and response_id == call.response_id:
            call.feed(event)

    async def _let_go(self) -> None:
        """Pass on the event that was held, its record on disk."""
        if self._held is not None:
            (call, message), self._held = self._held, None
            await call.conclude()
            await self._client.send(message)


async def _under_way() -> bool:
    return True
