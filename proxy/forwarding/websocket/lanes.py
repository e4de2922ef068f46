"""Which response an event belongs to: lanes, in which responses follow each other.

OpenAI's protocol (https://developers.openai.com/api/docs/guides/websocket-mode and .../steering): a
`response.create` has no id. Within a lane (`stream_id`, or none) responses begin in the order of their
creates and never overlap; lanes run side by side. `response.created` gives the id. A response that was
steered is followed by one that no create asked for; it names the steered one in `previous_response_id`.
"""

import re
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from cab.proxy.meter.dialects.responses import TERMINAL
from cab.proxy.meter.json_values import JsonObject, as_object, as_text

Lane = str | None
INVALID: Lane = "\0"
"""Stands for every id that is not one: the endpoint's error for it names none."""
_STREAM_ID = re.compile(r"[A-Za-z0-9_.-]{1,256}")
_BEGINS = ("response.created", "response.queued", "response.in_progress")
_OF_WAITING = ("previous_response_not_found", "websocket_stream_limit_reached")
"""Codes of errors that only a create without a response can meet."""
CONNECTION_LIMIT = "websocket_connection_limit_reached"
_REMEMBERED = 256
"""Ended responses of a connection that late events and steers may still name."""


def lane_of(message: JsonObject) -> Lane:
    """Return the lane that a message names.

    >>> lane_of({"stream_id": "main"}), lane_of({}), lane_of({"stream_id": ""}) == INVALID
    ('main', None, True)
    """
    stream_id = message.get("stream_id")
    if stream_id is None:
        return None
    if isinstance(stream_id, str) and _STREAM_ID.fullmatch(stream_id):
        return stream_id
    return INVALID


class Asked(Protocol):
    """A response that was asked for: by a create, or by a steer, whose target is what it continues."""

    lane: Lane
    continues: str | None
    """`previous_response_id` of the frame."""
    response_id: str | None
    """Set once the response has begun."""
    steer_id: str | None
    """As the endpoint names an accepted steer."""


Call = TypeVar("Call", bound=Asked)


@dataclass
class Step(Generic[Call]):
    """What an event means for the calls of a connection."""

    call: Call | None = None
    """Whose event it is."""
    begins: bool = False
    """Whether its response begins with it."""
    unasked: bool = False
    """Whether a response begins that nobody asked for."""
    ends: bool = False
    """Whether the response is over."""
    refused: list[Call] = field(default_factory=list[Call])
    """Calls that will have no response."""
    settled: list[Call] = field(default_factory=list[Call])
    """Steers that lead to no response of their own."""


class Lanes(Generic[Call]):
    """The calls of one connection, by lane and by the id of their response."""

    def __init__(self) -> None:
        self._waiting: dict[Lane, deque[Call]] = {}
        self._open: dict[Lane, deque[Call]] = {}
        self._by_id: dict[str, Call] = {}
        self._ended: OrderedDict[str, Call] = OrderedDict()
        self._steers: list[Call] = []

    def created(self, call: Call) -> None:
        """Take note of a create that is about to leave."""
        self._waiting.setdefault(call.lane, deque()).append(call)

    def steered(self, call: Call) -> None:
        """Take note of a steer that is about to leave."""
        self._steers.append(call)

    def known(self, response_id: str | None) -> Call | None:
        """Return the call of a response, also of one that is over."""
        if response_id is None:
            return None
        return self._by_id.get(response_id) or self._ended.get(response_id)

    def remove(self, call: Call) -> None:
        """Take a call out whose response is over, or will not come."""
        for queues in (self._waiting, self._open):
            queue = queues.get(call.lane)
            if queue is not None and call in queue:
                queue.remove(call)
                if not queue:
                    del queues[call.lane]
        if call in self._steers:
            self._steers.remove(call)
        if call.response_id is not None and self._by_id.pop(call.response_id, None):
            self._ended[call.response_id] = call
            if len(self._ended) > _REMEMBERED:
                self._ended.popitem(last=False)

    def take(self, event: JsonObject) -> Step[Call]:
        """Return what an event of the endpoint means."""
        kind, lane = as_text(event.get("type")) or "", lane_of(event)
        if kind.startswith("response.steer."):
            return self._steer_event(kind, as_object(event.get("steer")))
        if kind == "error":
            return self._error(event, lane)
        if not kind.startswith("response."):
            return Step()
        response = as_object(event.get("response"))
        response_id = as_text(response.get("id")) or as_text(event.get("response_id"))
        known = self._by_id.get(response_id or "")
        if known is None and response_id in self._ended:
            return Step()
        step = Step(known or self._running(lane))
        if known is None and response and (kind in _BEGINS or step.call is None):
            step = self._begin(lane, response)
            if step.call is not None:
                self.add(step.call, response_id)
        if kind in TERMINAL:
            step.ends = True
            self._over(step.call)
        return step

    def add(self, call: Call, response_id: str | None) -> None:
        """Take note of the response of a call: from now on its events are its own."""
        for queue in (self._waiting.get(call.lane), self._steers):
            if queue is not None and call in queue:
                queue.remove(call)
        if not self._waiting.get(call.lane, True):
            del self._waiting[call.lane]
        call.response_id = response_id
        self._open.setdefault(call.lane, deque()).append(call)
        if response_id is not None:
            self._by_id[response_id] = call

    def _running(self, lane: Lane) -> Call | None:
        queue = self._open.get(lane)
        return queue[0] if queue else None

    def _oldest(self, lane: Lane) -> Call | None:
        queue = self._waiting.get(lane)
        return queue[0] if queue else None

    def _begin(self, lane: Lane, response: JsonObject) -> Step[Call]:
        """Return whose response begins: that of the oldest create, or of a steer."""
        oldest = self._oldest(lane)
        steers = self._steers_for(lane, response, only=oldest is None)
        # A create that names the steered response carries the steer's input along.
        explicit = oldest is not None and (not steers or oldest.continues == steers[0].continues)
        step: Step[Call] = Step(begins=True)
        if oldest is not None and explicit:
            step.call, step.settled = oldest, steers
        elif steers:
            step.call, step.settled = steers[0], steers[1:]
        else:
            step.unasked = True
        self._over(*step.settled)
        return step

    def _steers_for(self, lane: Lane, response: JsonObject, *, only: bool) -> list[Call]:
        """Return the steers whose successor a response may be: all of them have one target.

        Args:
            lane: Where it begins.
            response: Its object.
            only: Whether no create waits there.
        """
        target = as_text(response.get("previous_response_id"))
        if target is None and (only or "previous_response_id" not in response):
            over = (s for s in self._steers if s.steer_id and s.continues in self._ended)
            target = next((s.continues for s in over if s.lane == lane), None)
        return [s for s in self._steers if target is not None and s.continues == target]

    def _steer_event(self, kind: str, stated: JsonObject) -> Step[Call]:
        steer_id, target = as_text(stated.get("id")), as_text(stated.get("previous_response_id"))
        sent = [s for s in self._steers if s.continues == target]
        named = [s for s in sent if steer_id is not None and s.steer_id == steer_id]
        steer = next(iter(named or [s for s in sent if s.steer_id is None]), None)
        if steer is None:
            return Step()
        if kind.endswith(".accepted"):
            steer.steer_id = steer_id or "accepted"
            return Step()
        # It failed, or waits for a create of the client, which is a call of its own.
        self._over(steer)
        return Step(settled=[steer])

    def _error(self, event: JsonObject, lane: Lane) -> Step[Call]:
        code = as_text(as_object(event.get("error")).get("code")) or as_text(event.get("code"))
        if code == CONNECTION_LIMIT:
            return self._refused(*(call for queue in self._waiting.values() for call in queue))
        if code == "invalid_stream_id":
            lane = INVALID
        waiting = self._oldest(lane)
        running = self._by_id.get(as_text(event.get("response_id")) or "") or self._running(lane)
        if waiting is not None and (running is None or code in _OF_WAITING):
            return self._refused(waiting)
        call = running or (self._only() if lane is None else None)
        if call is None or call in self._open.get(call.lane, ()):
            self._over(call)
            return Step(call, ends=call is not None)
        return self._refused(call)

    def _refused(self, *calls: Call) -> Step[Call]:
        self._over(*calls)
        return Step(refused=list(calls))

    def _over(self, *calls: Call | None) -> None:
        for call in calls:
            if call is not None:
                self.remove(call)

    def _only(self) -> Call | None:
        """Return the one call that has not ended, if there is just one: an error without a lane is its own."""
        queues = (*self._waiting.values(), *self._open.values())
        calls = [call for queue in queues for call in queue]
        return calls[0] if len(calls) == 1 else None
