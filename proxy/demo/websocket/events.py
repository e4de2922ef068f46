"""Writes what the server says on a WebSocket: each event is a JSON text."""

import hashlib
from typing import NamedTuple

import orjson

from cab.proxy.demo.dialects.chunks import Members
from cab.proxy.demo.dialects.errors import ErrorReply, openai_members
from cab.proxy.demo.dialects.responses_answer import Event
from cab.proxy.meter.json_values import as_list


class DemoSteer(NamedTuple):
    """What a client says to a response that runs."""

    id: str | None
    """None if it was not accepted."""
    target: str
    """Id of the response."""
    given: object
    """As it was sent: a text, or a list of messages of the user."""

    @property
    def items(self) -> list[object]:
        """As items of an input."""
        return as_list(self.given) or [user_item(str(self.given))]


def user_item(text: str) -> object:
    """Return a text as an item of an input."""
    return {"type": "message", "role": "user", "content": text}


def steer_id(target: str, number: int) -> str:
    """Return the id of the n-th steering of a response."""
    return f"steer_{hashlib.sha256(f'{target}/{number}'.encode()).hexdigest()[:24]}"


def event_text(event: Event, number: int, stream_id: str | None) -> str:
    """Return an event as it is sent.

    Args:
        event: What it says.
        number: Its place in the response, from 0.
        stream_id: The lane; None for the one without a name.
    """
    kind, members = event
    return _text({"type": kind, "sequence_number": number, **members}, stream_id)


def error_text(error: ErrorReply, stream_id: str | None) -> str:
    """Return the event of a create that gets no response, or of a fault of the whole connection."""
    members = {"type": "error", "status": error.status, "error": openai_members(error)}
    return _text(members, stream_id)


def flat_error_text(code: str, stream_id: str | None) -> str:
    """Return an error as it is in a stream of server-sent events, without a status."""
    members = {"type": "error", "code": code, "message": "the server had an error", "param": None}
    return _text({**members, "sequence_number": 0}, stream_id)


def accepted(steer: DemoSteer) -> Event:
    """Return the event of a steering that is taken."""
    return "response.steer.accepted", {
        "steer": {"id": steer.id, "previous_response_id": steer.target}
    }


def pending(steer: DemoSteer, output: list[Members]) -> Event:
    """Return the event of a steering that waits until the client has answered tool calls."""
    calls = [item for item in output if str(item["type"]).endswith("_call")]
    required = [_result_of(call) for call in calls]
    return "response.steer.pending", {
        "steer": {"id": steer.id, "previous_response_id": steer.target},
        "reason": "waiting_for_required_input",
        "required_input": required,
    }


def steer_failed(steer: DemoSteer, code: str) -> Event:
    """Return the event of a steering that comes to nothing."""
    told: Members = {"previous_response_id": steer.target, "input": steer.given}
    error = {"type": "invalid_request_error", "code": code, "message": f"not steered: {code}"}
    return "response.steer.failed", {
        "steer": told if steer.id is None else {**told, "id": steer.id},
        "error": error,
    }


def _result_of(call: Members) -> Members:
    stub = {"type": f"{call['type']}_output", "call_id": call["call_id"]}
    return stub if call["type"] == "custom_tool_call" else {**stub, "name": call["name"]}


def _text(members: Members, stream_id: str | None) -> str:
    lane = {} if stream_id is None else {"stream_id": stream_id}
    return orjson.dumps({**members, **lane}).decode()
