"""One response of a connection: what was asked, what is answered, and what was said of it so far."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import orjson

from cab.proxy.demo.account import Account
from cab.proxy.demo.call import PreparedAnswer, prepare
from cab.proxy.demo.dialects import RESPONSES
from cab.proxy.demo.dialects.fields import is_list, model_of, reject
from cab.proxy.demo.dialects.request import ChatRequest
from cab.proxy.demo.dialects.responses_answer import (
    Event,
    incomplete_part,
    output_items,
    response_parts,
)
from cab.proxy.demo.fault_modes import FaultMode
from cab.proxy.demo.responder import DemoReply
from cab.proxy.demo.usage import count_reply
from cab.proxy.demo.websocket.events import DemoSteer, user_item
from cab.proxy.demo.websocket.faults import WebSocketFault
from cab.proxy.meter.json_values import JsonObject, as_list

StopReason = Literal["steered", "interrupted"]

_OF_THE_FRAME = ("type", "stream_id", "generate", "previous_response_id", "background")
"""Members of a create that a posted request does not have, or has in another form."""
_MOST_PENDING = 8
"""Steerings of one response; the vendor names no number."""


@dataclass
class DemoTurn:
    """A response from before its first event to its end."""

    stream_id: str | None
    previous: str | None
    data: JsonObject
    """The whole request, with all that the response builds on."""
    answer: PreparedAnswer
    fault: WebSocketFault | None = None
    pause_s: float = 0
    """Before each event."""
    steers: list[DemoSteer] = field(default_factory=list[DemoSteer])
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it is steered or interrupted."""
    stopped: StopReason | None = None
    """Why it ends before its end."""
    cut: bool = False
    """Whether the connection was broken in its middle."""
    said: int = 0
    """Events so far."""

    def behave(self, mode: FaultMode | None, fault: WebSocketFault | None) -> None:
        """Take on a fault mode, of those that send an answer, or else a fault."""
        self.fault = fault
        if mode is not None and mode.name == "cut_stream":
            self.fault = WebSocketFault("cut")
        elif mode is not None and mode.name == "slow_stream":
            self.pause_s = mode.pause_s

    def wake_if_steered(self) -> None:
        """Let it go on, or stop, if it has been steered as often as it waits for."""
        fault = self.fault
        late = fault is not None and fault.name == "late_steer"
        waits = fault is not None and (late or fault.name == "hold")
        if fault is None or not waits or len(self.steers) >= fault.number:
            # One that calls tools needs their results before it can be steered.
            if not late and not self.answer.reply.calls:
                self.stopped = "steered"
            self.woken.set()

    @property
    def is_full(self) -> bool:
        """Whether no more steering is taken."""
        return len(self.steers) >= _MOST_PENDING

    @property
    def history(self) -> list[object]:
        """All that a response can build on that names this one."""
        return [*as_list(self.data["input"]), *output_items(self.answer.reply, self.answer.id)]

    def events(self) -> list[Event]:
        """Return what the events say, up to a regular end."""
        return [self._linked(event) for event in response_parts(*self.answer)]

    def last_events(self, sent: list[Event], last: Event) -> list[Event]:
        """Return what ends it.

        Args:
            sent: The events so far; what they hold is the answer, if it was stopped.
            last: The regular last one.
        """
        kind, members = self._stop(sent) if self.stopped else last
        response = members["response"]
        silent = kind, {"response": {**response, "usage": None}}
        name = None if self.fault is None else self.fault.name
        if name == "no_usage":
            return [silent]
        if name == "late_usage":
            return [silent, ("response.done", members)]
        if name == "failed":
            error = {"code": "server_error", "message": "the server had an error"}
            failed = {**response, "status": "failed", "error": error}
            return [("response.failed", {"response": failed})]
        return [(kind, members)]

    def _stop(self, sent: list[Event]) -> Event:
        text = "".join(each["delta"] for kind, each in sent if kind == "response.output_text.delta")
        done = sum(kind.endswith(("_call_arguments.done", "_call_input.done")) for kind, _ in sent)
        whole = self.answer.reply
        reply = whole._replace(text=text or None, calls=whole.calls[:done])
        completion = count_reply("responses", reply) if text or done else 0
        usage = self.answer.usage._replace(completion_tokens=completion)
        self.answer = self.answer._replace(reply=reply, usage=usage)
        return self._linked(incomplete_part(*self.answer, str(self.stopped)))

    def _linked(self, event: Event) -> Event:
        kind, members = event
        if "response" in members:
            response = {**members["response"], "previous_response_id": self.previous}
            members = {**members, "response": response}
        return kind, members


def whole_request(create: Mapping[str, object], before: list[object]) -> JsonObject:
    """Return a create as the request that would be posted, with the history in front of its input.

    Raises:
        BadChat: It has a member that there is not over a WebSocket, or no input.
    """
    if create.get("background"):
        reject("a response over a WebSocket cannot run in the background", "background")
    given = create.get("input")
    items = [user_item(given)] if isinstance(given, str) else given
    if not is_list(items):
        reject("input is missing, or neither text nor list", "input")
    kept = {name: value for name, value in create.items() if name not in _OF_THE_FRAME}
    return {**kept, "stream": True, "input": [*before, *items]}


async def prepared_answer(data: JsonObject, account: Account, *, generate: bool) -> PreparedAnswer:
    """Return the answer to a whole request.

    Args:
        data: It.
        account: Knows how often it came.
        generate: False for a warm-up, which reads the prompt and writes nothing.

    Raises:
        BadChat: The request is one that is refused.
    """
    body = orjson.dumps(data)
    if generate:
        return await prepare(RESPONSES, RESPONSES.read(body), body, account.repetition(body))
    nothing = ChatRequest(model_of(data), [], [], may_call=False, stream=True)
    answer = await prepare(RESPONSES, nothing, body, account.repetition(body))
    usage = answer.usage._replace(completion_tokens=0, reasoning_tokens=0)
    return answer._replace(reply=DemoReply(None), usage=usage)
