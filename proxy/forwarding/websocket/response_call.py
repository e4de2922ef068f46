"""One response of a connection, from the frame that asks for it to its END record.

The order is that of an HTTP call (`cab.proxy.forwarding.exchange`): admitted, START, forwarded, END on
disk, and only then the event that tells the client that the response is over.
"""

import asyncio
import time
from dataclasses import replace
from typing import NamedTuple

from cab.proxy.accounting.admission import AdmissionRequest
from cab.proxy.errors import Rejected
from cab.proxy.forwarding.call_lifecycle import CallLifecycle
from cab.proxy.forwarding.deadline import Limit
from cab.proxy.forwarding.endings import ending_of, failure_of, rejection_of
from cab.proxy.forwarding.recording import record_end
from cab.proxy.forwarding.services import ProxyServices
from cab.proxy.forwarding.websocket.lanes import Lane
from cab.proxy.http.error_responses import ErrorResponse, error_response_for
from cab.proxy.ledger.call_records import CallContext, CallEnding, start_record
from cab.proxy.ledger.capture.event_tap import EventTap
from cab.proxy.meter.event_call import EventMeter
from cab.proxy.meter.json_values import JsonObject

EVENT_STATUS = 400
"""Status of every error event of the proxy: with another one codex sends the call six times, then as POST."""


class Event(NamedTuple):
    """A message of the endpoint."""

    members: JsonObject
    size_bytes: int
    whole: bool = True
    """Whether it has all members; else it was too large to be read."""
    data: bytes = b""
    """The message itself."""


class ResponseCall:
    """A call on a WebSocket connection.

    Args:
        services: What every call uses.
        context: What is known of it so far; filled as it goes.
        meter: Fed with the response's events.
        admission: What its cell is asked.
        lane: Where its response comes.
        continues: The response that it goes on from.
    """

    def __init__(  # noqa: PLR0913 - a call is put together in one place
        self,
        services: ProxyServices,
        context: CallContext,
        meter: EventMeter,
        admission: AdmissionRequest,
        lane: Lane,
        continues: str | None,
    ) -> None:
        self._services = services
        self.context = context
        self.redactor = context.redactor
        self.meter = meter
        self._lifecycle = CallLifecycle(
            services.registry, services.ledger, admission, waits=services.settings.ack == "end"
        )
        self.lane = lane
        self.continues = continues
        self.response_id: str | None = None
        self.is_steer = False
        """Whether a steer asked for it, which leads to a response of its own or to none."""
        self.steer_id: str | None = None
        self.tap: EventTap | None = None
        """Keeps its frame and events; None if they are not kept."""
        self.refusal: Rejected | None = None
        """Why it may not be made, whatever its cell says; None if it may."""
        self.client_gone = False
        self.withdrawn = False
        """Whether the call ends if its frame has not left yet."""
        self._stopped = False
        self._started = False
        self.left = asyncio.Event()
        """Set once the frame has left, or will not: the next one of its lane may go."""
        self.wake = asyncio.Event()
        """Set once the call is over, or is stopped."""
        self._ending: asyncio.Future[None] | None = None

    @property
    def over(self) -> bool:
        """Whether the call has its END, will have it at once, or will have none."""
        return self._ending is not None

    @property
    def stream_id(self) -> str | None:
        """The lane as the client names it."""
        return self.context.websocket.stream_id if self.context.websocket else None

    @property
    def forwarded(self) -> bool:
        """Whether the endpoint may have seen its frame."""
        return self.context.upstream_attempts > 0

    def stop(self) -> None:
        """End the call now: the proxy stops and its grace time is over."""
        self._stopped = True
        self.withdraw()
        if self.forwarded:
            self.wake.set()

    def client_left(self) -> None:
        """Take note that the client's connection is gone."""
        self.client_gone = True
        self.withdraw()

    def withdraw(self) -> None:
        """End the call if its frame has not left yet."""
        self.withdrawn = True
        self._lifecycle.withdraw()

    async def admit(self) -> ErrorResponse | None:
        """Let the cell decide; return the refusal, its record on disk, or None."""
        context = self.context
        try:
            if self.refusal is not None:
                raise self.refusal
            await self._number()
        except Rejected as error:
            context.status = EVENT_STATUS
            context.slot_queued_ms += error.queued_ms
            ending = rejection_of(error, self._now())
            if ending is not None:
                await self.end(ending)
            return error_response_for(context.endpoint, error)
        return None

    async def admit_unasked(self) -> Rejected | None:
        """Let the cell decide about a response that has begun already; return its refusal, or None."""
        try:
            await self._number()
        except Rejected as error:
            return error
        return self.refusal

    async def wait_for(self, event: asyncio.Event) -> None:
        """Wait for something of other calls; that is time in the queue."""
        began_s = time.monotonic()  # uvloop's own time is of whole milliseconds
        await event.wait()
        self.context.slot_queued_ms += (time.monotonic() - began_s) * 1000

    async def _number(self) -> None:
        self.context.take(await self._lifecycle.admit())

    async def start(self) -> None:
        """Write the START record, once; return when it is on disk."""
        if self._started:
            return
        self._started = True
        # Before its frame has left there is no call, and a START that the disk refuses must leave none.
        before = not self.forwarded
        await self._lifecycle.start(start_record(self.context), on_disk_first=before)
        await self._lifecycle.start_on_disk()

    def sending(self) -> None:
        """Take note that the frame goes to the endpoint now."""
        self.context.forwarded_ns = self._now()
        self.context.upstream_attempts = 1

    def inherit(self, parent: "ResponseCall") -> None:
        """Take over what a steered response has of the one before: its model, and the cap of its answer."""
        before = parent.context.request
        bound = before.bound._replace(prompt_tokens=None)  # it reads the answer before too
        request = replace(self.meter.request, model=before.model, bound=bound)
        self.meter.request = self.context.request = request

    def feed(self, event: Event) -> None:
        """Take an event of the response."""
        self.context.status = 200
        self._take(event)

    async def refused(self, event: Event) -> None:
        """Write the END of a call that the endpoint answered with an error instead of a response."""
        self._take(event)
        self.context.status = stated_status(event.members)
        await self.conclude()

    def _take(self, event: Event) -> None:
        self.meter.feed(event.members, event.size_bytes, self._now(), whole=event.whole)
        if self.tap is not None:
            self.tap.feed(event.data)

    async def conclude(self) -> None:
        """Write the END of a response whose last event has come."""
        if self._ending is not None:
            await self._ending
            return
        outcome = self.meter.outcome(self._stated())
        await self.end(
            ending_of(outcome, self._now(), client_gone=self.client_gone, is_stream=True)
        )

    async def break_off(self, why: Exception, host: str) -> None:
        """Write the END of a response whose last event will not come.

        A steer that was neither refused nor followed by a response may have cost something too.
        """
        await self.start()
        limit: Limit = "stop" if self._stopped else "gone"
        reason, code, message = failure_of(why, limit, host, client_gone=self.client_gone)
        await self.end(CallEnding(reason, self._now(), (code, message)))

    async def crash(self, error: Exception) -> None:
        """Write the END of a call that met a fault of the proxy."""
        await self.end(CallEnding("crash", self._now(), ("internal_error", type(error).__name__)))

    async def end(self, ending: CallEnding) -> None:
        """Write the END record, once; whoever comes later waits for it.

        Raises:
            LedgerFailed: It cannot be written.
        """
        if self._ending is None:
            loop = asyncio.get_running_loop()
            self._ending = loop.create_task(self._record(ending))
        await asyncio.shield(self._ending)

    async def _record(self, ending: CallEnding) -> None:
        try:
            outcome = self.meter.outcome(self._stated())
            await record_end(self._lifecycle, self._services.counter, self.context, outcome, ending)
        finally:
            self._lifecycle.release()
            self.wake.set()
            if self.tap is not None:
                self.tap.finish(ending.reason)

    def drop(self) -> None:
        """Let go of a call that has no END: a steer that led to no response."""
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_future()
            self._ending.set_result(None)
            self._lifecycle.release()
            self.wake.set()

    def _stated(self) -> int:
        return self.context.status or 0

    def _now(self) -> int:
        return self._services.clock.mono_ns()


def stated_status(event: JsonObject) -> int | None:
    """Return the HTTP status that an error event states, None if it states none."""
    for name in ("status", "status_code"):
        status = event.get(name)
        if isinstance(status, int) and 400 <= status < 600:
            return status
    return None
