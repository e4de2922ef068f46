"""The calls of one connection: how they are made of frames, and how all of them end."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from cab.proxy.accounting.admission import AdmissionRequest
from cab.proxy.auth.attribution import Caller
from cab.proxy.errors import LedgerFailed, Rejected
from cab.proxy.forwarding.body_budget import BodyShare
from cab.proxy.forwarding.permission import refused_call
from cab.proxy.forwarding.services import ProxyServices
from cab.proxy.forwarding.upstream import Upstream
from cab.proxy.forwarding.websocket.lanes import INVALID, Lanes, lane_of
from cab.proxy.forwarding.websocket.response_call import ResponseCall
from cab.proxy.forwarding.websocket.sockets import CLOSE_LIMIT_S
from cab.proxy.http.query_key import without_query_key
from cab.proxy.ledger.call_records import CallContext, WebSocketFacts
from cab.proxy.ledger.uuid7 import uuid7
from cab.proxy.logs import RedactingLogger
from cab.proxy.meter import Dialect
from cab.proxy.meter.event_call import EventMeter
from cab.proxy.meter.json_values import JsonObject, as_text
from cab.proxy.meter.request.body import read_message
from cab.proxy.redaction import Redactor

_Made = TypeVar("_Made")
LARGE_FRAME_BYTES = 1 << 18
"""Reading a frame takes about 10 ms for each MB: from here on it must not hold up the loop."""
MAX_CALLS = 256
"""Calls of a connection that are not over; the client is read on once there are fewer."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What is known of the client of a connection, and how it is asked about again for each call."""

    dialect: Dialect
    path_qs: str
    client: str | None
    """Its address."""
    user_agent: str | None
    traceparent: str | None
    redactor: Redactor
    upstream: Upstream
    identify: Callable[[], Caller]
    """Returns who calls, by the key of the upgrade; raises `RequestFailed` once it is not valid."""
    require_open: Callable[[], None]
    """Raises `RequestFailed` while the proxy takes no calls."""
    admission: Callable[[Caller, CallContext], AdmissionRequest]
    live: "dict[asyncio.Task[None], ResponseCall]"
    """All calls of the proxy on WebSocket connections that are under way."""
    large_reads: asyncio.Lock
    """Held while a large message is read."""


class ConnectionCalls:
    """The calls of one connection.

    Args:
        services: What every call uses.
        upgrade: What is known of the client.
    """

    def __init__(self, services: ProxyServices, upgrade: Upgrade) -> None:
        self._services = services
        self._upgrade = upgrade
        self.redactor = upgrade.redactor
        self.connection_id = uuid7(services.clock.wall_ns())
        self.host = upgrade.upstream.base.authority
        self.lanes: Lanes[ResponseCall] = Lanes()
        self.failed = asyncio.Event()
        """Set when a call met a fault: the client must not take anything more for complete."""
        self._log = RedactingLogger(upgrade.redactor)
        self.live: dict[ResponseCall, int] = {}
        """Those that are not over, with the bytes of their frames."""
        self._changed = asyncio.Event()

    async def meter(self, frame: bytes) -> EventMeter:
        """Return a meter for the response that a frame asks for."""
        upgrade, text_limit = self._upgrade, self._services.settings.count_max_bytes
        make = partial(EventMeter, upgrade.dialect, upgrade.path_qs, frame, limit_chars=text_limit)
        return await self._made(frame, make)

    async def read(self, frame: bytes) -> tuple[JsonObject, Rejected | None]:
        """Return what a message says, and why it is refused: an endpoint could read it in another way."""
        content, fault = await self._made(frame, partial(read_message, frame))
        if content is None or fault is not None:
            message = f"the message cannot be read: {fault or 'it is not a JSON object'}"
            return {}, Rejected("invalid_json", message)
        if not isinstance(content.get("type"), str):
            return content, Rejected("invalid_type", "the message's type is not a text")
        return content, None

    async def _made(self, frame: bytes, make: Callable[[], _Made]) -> _Made:
        if len(frame) < LARGE_FRAME_BYTES:
            return make()
        async with self._upgrade.large_reads:
            return await asyncio.to_thread(make)

    def make(
        self,
        frame: bytes,
        content: JsonObject,
        meter: EventMeter,
        *,
        is_steer: bool = False,
        queued_ms: float = 0.0,
    ) -> ResponseCall:
        """Return the call that a frame asks for; its `refusal` says whether it may go on.

        Args:
            frame: The client's message, empty if nobody asked.
            content: The same, parsed.
            meter: Of its response.
            is_steer: Whether it steers a response.
            queued_ms: How long the frame waited for room.

        Raises:
            RequestFailed: The key is not valid any more, or the proxy takes no calls.
        """
        clock, upgrade = self._services.clock, self._upgrade
        queued_ns = round(queued_ms * 1_000_000)
        wall_ns, mono_ns = clock.wall_ns() - queued_ns, clock.mono_ns() - queued_ns
        caller = self.admissible()
        continues = as_text(content.get("previous_response_id"))
        parent = self.lanes.known(continues) if is_steer else None
        lane = parent.lane if parent else lane_of(content)
        context = CallContext(
            call_id=uuid7(wall_ns),
            cell_id=caller.cell_id,
            endpoint=upgrade.dialect.name,
            assumed_output_cap=self._services.settings.assumed_output_cap,
            request=meter.request,
            request_bytes=len(frame),
            user_agent=upgrade.user_agent,
            traceparent=upgrade.traceparent,
            key_id=None if caller.key is None else caller.key.key_id,
            client=upgrade.client,
            upstream=upgrade.upstream.base.authority,
            route=upgrade.upstream.number,
            started_wall_ns=wall_ns,
            started_ns=mono_ns,
            received_ns=clock.mono_ns(),
            body_queued_ms=queued_ms,
            redactor=upgrade.redactor,
            prices=upgrade.upstream.prices,
            websocket=WebSocketFacts(
                self.connection_id,
                None if lane == INVALID else lane,
                parent.context.call_id if parent else None,
                warmup=content.get("generate") is False,
            ),
        )
        admission = upgrade.admission(caller, context)
        if is_steer:
            # Its response comes after the one that it steers, never beside it.
            admission = admission._replace(limits=replace(admission.limits, max_concurrency=None))
        call = ResponseCall(self._services, context, meter, admission, lane, continues)
        call.is_steer = is_steer
        if self._services.capture is not None:
            call.tap = self._services.capture.event_tap(
                context, without_query_key(upgrade.path_qs), frame
            )
        if not is_steer:
            called = "POST", upgrade.path_qs, caller, upgrade.upstream, context
            call.refusal = refused_call(*called)
        if parent is not None:
            call.inherit(parent)
        return call

    def admissible(self) -> Caller:
        """Return who calls.

        Raises:
            RequestFailed: The key is not valid any more, or the proxy takes no calls.
        """
        caller = self._upgrade.identify()
        self._upgrade.require_open()
        return caller

    def misrouted(self, model: str | None) -> Rejected | None:
        """Return the refusal of a model that another endpoint serves than that of this connection."""
        if self._services.upstreams.for_model(model) is self._upgrade.upstream:
            return None
        message = "another endpoint serves this model; send the request as POST"
        return Rejected("model_elsewhere", message)

    def run(
        self,
        call: ResponseCall,
        frame_bytes: int,
        begin: Callable[[], Awaitable[bool]],
        share: BodyShare | None = None,
    ) -> None:
        """Run a call as a task of its own, so that it waits for its cell and nobody else does.

        Args:
            call: The call.
            frame_bytes: Size of its frame.
            begin: Returns whether the call is under way; if not, it is over.
            share: What its frame holds of the budget, until the call is over.
        """
        self.live[call] = frame_bytes
        task = asyncio.get_running_loop().create_task(self._run(call, begin))
        if share is not None:
            task.add_done_callback(lambda _: share.release())
        self._upgrade.live[task] = call  # also keeps the task from being garbage collected
        task.add_done_callback(self._upgrade.live.pop)

    async def _run(self, call: ResponseCall, begin: Callable[[], Awaitable[bool]]) -> None:
        try:
            if await begin():
                await call.wake.wait()
                if not call.over:
                    await call.break_off(TimeoutError(), self.host)
        except LedgerFailed as error:
            self._log.error("ledger_failed", error=str(error))
            self.failed.set()
        except Exception as error:  # noqa: BLE001 - whatever it is, the call ends and is logged
            self._log.exception("call_failed", connection=self.connection_id)
            self.failed.set()
            with suppress(LedgerFailed):
                await call.crash(error)
        finally:
            call.drop()
            call.meter.forget()  # a later steer may still name the call
            self.lanes.remove(call)
            del self.live[call]
            call.left.set()
            self._changed.set()

    async def room_for(self, frame_bytes: int) -> None:
        """Wait until a further frame may be taken: what one client has under way is bounded."""
        limit_bytes = self._services.settings.max_request_bytes
        while len(self.live) >= MAX_CALLS or (
            self.live and sum(self.live.values()) + frame_bytes > limit_bytes
        ):
            await self._change()

    async def none_left(self) -> None:
        """Wait until no call is under way."""
        while self.live:
            await self._change()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def client_left(self) -> None:
        """Take note that the client has gone: what has not been forwarded will not be."""
        for call in self.live:
            call.client_left()

    async def break_off(self, why: Exception) -> None:
        """End all calls: their last events will not come.

        Raises:
            LedgerFailed: An END cannot be written.
        """
        calls = list(self.live)
        for call in calls:
            call.withdraw()
        under_way = (call for call in calls if call.forwarded and not call.over)
        await asyncio.gather(*(call.break_off(why, self.host) for call in under_way))
        with suppress(TimeoutError):  # one may wait for a client that reads nothing
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await self.none_left()

    async def crash(self, error: Exception) -> None:
        """End all calls after a fault of the proxy.

        Raises:
            LedgerFailed: An END cannot be written.
        """
        calls = list(self.live)
        for call in calls:
            call.withdraw()
        under_way = (call for call in calls if call.forwarded and not call.over)
        await asyncio.gather(*(call.crash(error) for call in under_way))
