"""Reads a connection: creates go to the lanes that they name, steering to the response that it names."""

import asyncio
import re
from contextlib import suppress

from aiohttp import WSMsgType, web

from cab.proxy.demo.dialects.errors import ErrorReply
from cab.proxy.demo.dialects.fields import BadChat, objects_in, read_object
from cab.proxy.demo.websocket.answering import Answering
from cab.proxy.demo.websocket.events import DemoSteer, accepted, event_text, steer_failed, steer_id
from cab.proxy.demo.websocket.turn import DemoTurn
from cab.proxy.meter.json_values import JsonObject

MOST_LANES = 32
"""Distinct names of lanes on a connection; the one without a name is not counted."""

_STREAM_ID = re.compile(r"[A-Za-z0-9_.-]{1,256}")
_STEER = {"type", "previous_response_id", "input"}

Lane = asyncio.Queue[JsonObject]
"""Creates that wait for their turn."""


class DemoConnection:
    """A WebSocket from its first message to its last.

    Args:
        socket: It.
        answering: Answers what is asked.
    """

    def __init__(self, socket: web.WebSocketResponse, answering: Answering) -> None:
        self._socket = socket
        self._answering = answering
        self._lanes: dict[str | None, Lane] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Serve until one of the two sides ends the connection."""
        async with asyncio.TaskGroup() as group:
            # A client that has gone owes us nothing more.
            with suppress(ConnectionError):
                async for message in self._socket:
                    if message.type is WSMsgType.TEXT:
                        await self._take(message.data, group)
                    else:
                        await self._socket.close(code=1003)
            for task in self._tasks:
                if task is not self._answering.closing:
                    task.cancel()

    async def _take(self, text: str, group: asyncio.TaskGroup) -> None:
        try:
            frame = read_object(text.encode())
        except BadChat as bad:
            await self._answering.refuse(ErrorReply(400, str(bad)), None)
            return
        kind = frame.get("type")
        if kind == "response.create":
            await self._create(frame, group)
        elif kind == "response.steer":
            await self._steer(frame)
        elif kind == "response.interrupt":
            self._interrupt(frame)
        else:
            error = ErrorReply(400, f"the demo knows no event of type {kind!r}", "type")
            await self._answering.refuse(error, None)

    async def _create(self, frame: JsonObject, group: asyncio.TaskGroup) -> None:
        name = frame.get("stream_id")
        if name is not None and not (isinstance(name, str) and _STREAM_ID.fullmatch(name)):
            message = "stream_id is not 1 to 256 letters, digits, and _ . -"
            error = ErrorReply(400, message, "stream_id", "invalid_stream_id")
            await self._answering.refuse(error, None)
            return
        if name not in self._lanes:
            if name is not None and len(self._lanes.keys() - {None}) >= MOST_LANES:
                message = f"a connection has at most {MOST_LANES} distinct stream_id"
                error = ErrorReply(400, message, "stream_id", "websocket_stream_limit_reached")
                await self._answering.refuse(error, name)
                return
            self._lanes[name] = Lane()
            self._tasks.append(group.create_task(self._serve(name)))
        self._lanes[name].put_nowait(frame)

    async def _serve(self, name: str | None) -> None:
        """Answer the creates of a lane in their order, never two at once."""
        with suppress(ConnectionError):
            while True:
                await self._answering.answer(await self._lanes[name].get(), name)

    async def _steer(self, frame: JsonObject) -> None:
        steer = DemoSteer(None, str(frame.get("previous_response_id")), frame.get("input"))
        turn = self._answering.running.get(steer.target)
        code = self._why_not(frame, steer, turn)
        if turn is None or code is not None:
            lane = None if turn is None else turn.stream_id
            event = steer_failed(steer, code or "response_not_found")
            await self._socket.send_str(event_text(event, 0, lane))
            return
        steer = steer._replace(id=steer_id(steer.target, len(turn.steers)))
        turn.steers.append(steer)
        await self._answering.say(accepted(steer), turn)
        turn.wake_if_steered()

    def _why_not(self, frame: JsonObject, steer: DemoSteer, turn: DemoTurn | None) -> str | None:
        """Return the code of the error if a response cannot be steered so."""
        fault = self._answering.faults.take(("steer_failed",))
        messages = objects_in(steer.given)
        users = messages and all(each.get("role") == "user" for each in messages)
        if fault is not None:
            return fault.code or "steering_not_supported"
        if frame.keys() != _STEER or not (users or (steer.given and isinstance(steer.given, str))):
            return "invalid_input"
        if turn is None:
            known = steer.target in self._answering.kept
            return "response_already_completed" if known else "response_not_found"
        if turn.stopped == "interrupted":
            return "response_not_active"
        return "too_many_pending_steers" if turn.is_full else None

    def _interrupt(self, frame: JsonObject) -> None:
        turn = self._answering.running.get(str(frame.get("response_id")))
        if turn is not None:
            turn.stopped = "interrupted"
            turn.woken.set()
