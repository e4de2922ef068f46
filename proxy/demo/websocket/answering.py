"""Answers the creates of one connection, and what steering makes of them."""

import asyncio
from typing import get_args

from aiohttp import web

from cab.proxy.demo.account import Account
from cab.proxy.demo.call import refused_attempt, served_attempt
from cab.proxy.demo.dialects import RESPONSES
from cab.proxy.demo.dialects.errors import ErrorReply
from cab.proxy.demo.dialects.fields import BadChat, scalar
from cab.proxy.demo.dialects.request import ChatRequest
from cab.proxy.demo.dialects.responses_answer import Event, output_items
from cab.proxy.demo.fault_modes import FaultModes, error_of
from cab.proxy.demo.sending import reset
from cab.proxy.demo.websocket.events import (
    DemoSteer,
    error_text,
    event_text,
    flat_error_text,
    pending,
    steer_failed,
)
from cab.proxy.demo.websocket.faults import ResponseFaultName, WebSocketFault, WebSocketFaults
from cab.proxy.demo.websocket.turn import DemoTurn, prepared_answer, whole_request
from cab.proxy.meter.json_values import JsonObject, as_object

MOST_RUNNING = 16
"""Responses of a connection at once; more creates wait."""

_LIMIT = ErrorReply(
    400,
    "Responses websocket connection limit reached (60 minutes). Create a new websocket connection "
    "to continue.",
    code="websocket_connection_limit_reached",
)
_NOT_FOUND = "previous_response_not_found"


class Answering:
    """What a connection knows of its responses.

    Args:
        request: The upgrade.
        socket: Where to answer.
        account: Gets every response that was started, and every create that was refused.
        modes: How posted calls misbehave, and creates as well.
        faults: How only this protocol misbehaves.
    """

    def __init__(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        account: Account,
        modes: FaultModes,
        faults: WebSocketFaults,
    ) -> None:
        self._request, self._socket = request, socket
        self._account, self._modes, self.faults = account, modes, faults
        self.running: dict[str, DemoTurn] = {}
        self.kept: dict[str, list[object]] = {}
        """What a later response can build on, by the id of an earlier one."""
        self.closing: asyncio.Task[None] | None = None
        """Who closes the connection, if it is one of us."""
        self._waiting: dict[str, list[DemoSteer]] = {}
        self._slots = asyncio.Semaphore(MOST_RUNNING)
        self._started = 0

    async def answer(self, create: JsonObject, stream_id: str | None) -> None:
        """Answer a create to its end, and whatever follows from it without another one.

        Raises:
            ConnectionError: The connection is at its end.
        """
        async with self._slots:
            turn = await self._first(create, stream_id)
            while turn is not None:
                await self._run(turn)
                turn = await self._successor(turn)

    async def refuse(
        self, error: ErrorReply, stream_id: str | None, chat: ChatRequest | None = None
    ) -> None:
        """Answer a create with an error."""
        self._account.add(refused_attempt(self._request, RESPONSES, chat, error.status))
        await self._socket.send_str(error_text(error, stream_id))

    async def say(self, event: Event, turn: DemoTurn) -> None:
        """Send an event of a response."""
        turn.said += 1
        await self._socket.send_str(event_text(event, turn.said - 1, turn.stream_id))

    async def _first(self, create: JsonObject, stream_id: str | None) -> DemoTurn | None:
        """Return the response to a create; None if there is none."""
        fault = self._next_fault()
        if fault is not None and fault.name in ("error", "flat_error", "connection_limit"):
            await self._refuse_by(fault, stream_id)
            return None
        try:
            turn = await self._read(create, stream_id)
        except BadChat as bad:
            await self.refuse(ErrorReply(400, str(bad), bad.param, bad.code), stream_id)
            return None
        mode = self._modes.take()
        error = error_of(mode, "responses")
        if error is not None:
            await self.refuse(error, stream_id, turn.answer.request)
            return None
        turn.behave(mode, fault)
        return turn

    async def _read(self, create: JsonObject, stream_id: str | None) -> DemoTurn:
        previous = scalar(create, "previous_response_id", str)
        if previous is not None and previous not in self.kept:
            message = f"Previous response with id '{previous}' not found."
            raise BadChat(message, "previous_response_id", _NOT_FOUND)
        steered = self._waiting.pop(previous or "", [])
        before = [*self.kept.get(previous or "", []), *(i for s in steered for i in s.items)]
        data = whole_request(create, before)
        generate = create.get("generate") is not False
        answer = await prepared_answer(data, self._account, generate=generate)
        return DemoTurn(stream_id, previous, data, answer)

    async def _run(self, turn: DemoTurn) -> None:
        """Send a response; a client that leaves is charged, as for one that was posted."""
        self.running[turn.answer.id] = turn
        try:
            await self._send(turn)
        finally:
            self._end(turn)

    async def _send(self, turn: DemoTurn) -> None:
        events = turn.events()
        sent: list[Event] = []
        for event in events[:-1]:
            await self._misbehave(turn, len(sent), len(events))
            if turn.stopped is not None:
                break
            await self.say(event, turn)
            sent.append(event)
            if len(sent) == 1:
                await self._intrude(turn.fault)
        else:
            await self._misbehave(turn, len(sent), len(events))
        last = turn.last_events(sent, events[-1])
        # What is known of the response, the account included, is true before the client hears of it.
        self._end(turn)
        for event in last:
            await self.say(event, turn)
        await self._misbehave(turn, len(events), len(events))

    def _end(self, turn: DemoTurn) -> None:
        """Enter a response into the account, once, and keep it."""
        if self.running.pop(turn.answer.id, None) is not None:
            attempt = served_attempt(self._request, RESPONSES, turn.answer, cut=turn.cut)
            reason = turn.stopped or attempt.finish_reason
            self._account.add(attempt._replace(finish_reason=reason))
            self.kept[turn.answer.id] = turn.history

    async def _misbehave(self, turn: DemoTurn, sent: int, total: int) -> None:
        """Do what the fault demands after so many events."""
        if turn.pause_s and sent < total:
            await asyncio.sleep(turn.pause_s)
        fault = turn.fault
        if fault is None or sent != len(range(total)[: _half(fault.after, total)]):
            return
        if fault.name in ("hold", "late_steer"):
            await self.faults.hold(turn.woken)
        elif fault.name == "cut":
            turn.cut = True
            reset(self._request)
            raise ConnectionResetError
        elif fault.name == "close":
            turn.cut = True
            await self._close(fault.number)

    async def _close(self, code: int) -> None:
        self.closing = asyncio.current_task()
        await self._socket.close(code=code)
        raise ConnectionResetError

    async def _intrude(self, fault: WebSocketFault | None) -> None:
        """Send what is not an event of a response."""
        name = None if fault is None else fault.name
        if name == "binary":
            await self._socket.send_bytes(b"\x00\x01")
        elif name == "not_json":
            await self._socket.send_str("not JSON")
        elif name == "ping":
            await self._socket.ping(b"demo")
        elif fault is not None and name == "huge":
            await self._socket.send_str(
                '{"type":"demo.filler","filler":"%s"}' % ("x" * fault.number)
            )

    async def _refuse_by(self, fault: WebSocketFault, stream_id: str | None) -> None:
        status = fault.number or 500
        if fault.name == "error":
            await self.refuse(ErrorReply(status, "the demo says so", code=fault.code), stream_id)
            return
        self._account.add(refused_attempt(self._request, RESPONSES, None, status))
        if fault.name == "flat_error":
            text = flat_error_text(fault.code or "server_error", stream_id)
            await self._socket.send_str(text)
            return
        await self._socket.send_str(error_text(_LIMIT, None))
        await self._close(1000)

    async def _successor(self, turn: DemoTurn) -> DemoTurn | None:
        """Return the response that steering makes of one that has ended."""
        if not turn.steers:
            return None
        if turn.stopped is None and turn.answer.reply.calls:
            self._waiting[turn.answer.id] = turn.steers
            output = output_items(turn.answer.reply, turn.answer.id)
            for steer in turn.steers:
                await self.say(pending(steer, output), turn)
            return None
        fault = self._next_fault()
        failed = fault is not None and fault.name == "error"
        if failed or turn.stopped == "interrupted":
            code = "successor_creation_failed" if failed else "response_not_active"
            for steer in turn.steers:
                await self.say(steer_failed(steer, code), turn)
            return None
        items = [item for steer in turn.steers for item in steer.items]
        data = {**turn.data, "input": [*turn.history, *items]}
        answer = await prepared_answer(data, self._account, generate=True)
        successor = DemoTurn(turn.stream_id, turn.answer.id, as_object(data), answer)
        successor.behave(None, fault)
        return successor

    def _next_fault(self) -> WebSocketFault | None:
        self._started += 1
        return self.faults.take(get_args(ResponseFaultName), self._started)


def _half(after: int | None, total: int) -> int:
    return total // 2 if after is None else after
