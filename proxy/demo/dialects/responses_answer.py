"""Writes a reply as an OpenAI response: one JSON body, or its sequence of events."""

from collections.abc import Iterator

import orjson

from cab.proxy.demo.dialects.chunks import CREATED, Members, call_id, event, pieces_of
from cab.proxy.demo.dialects.request import ChatRequest
from cab.proxy.demo.responder import DemoReply
from cab.proxy.demo.tool import ToolCall
from cab.proxy.demo.usage import DemoUsage

Event = tuple[str, Members]
"""Type and members of an event."""


def response(request: ChatRequest, reply: DemoReply, answer: str, usage: DemoUsage) -> bytes:
    """Return the body of an answer that is not streamed."""
    return orjson.dumps(_response(request, output_items(reply, answer), answer, usage))


def response_events(
    request: ChatRequest, reply: DemoReply, answer: str, usage: DemoUsage
) -> Iterator[bytes]:
    """Yield the events of a streamed answer."""
    for number, (kind, members) in enumerate(response_parts(request, reply, answer, usage)):
        yield event({"type": kind, "sequence_number": number, **members}, kind)


def response_parts(
    request: ChatRequest, reply: DemoReply, answer: str, usage: DemoUsage
) -> Iterator[Event]:
    """Yield what the events of a streamed answer say, however they are sent."""
    opened = _response(request, [], answer, None)
    yield "response.created", {"response": opened}
    yield "response.in_progress", {"response": opened}
    output = output_items(reply, answer)
    for index, item in enumerate(output):
        events = _message_events if item["type"] == "message" else _call_events
        yield from events(item, index)
    yield "response.completed", {"response": _response(request, output, answer, usage)}


def incomplete_part(
    request: ChatRequest, reply: DemoReply, answer: str, usage: DemoUsage, reason: str
) -> Event:
    """Return the last event of an answer that was stopped before its end.

    Args:
        request: What was asked.
        reply: As much of the answer as was made.
        answer: Its id.
        usage: What that much costs.
        reason: `steered` or `interrupted`.
    """
    output = [{**item, "status": "incomplete"} for item in output_items(reply, answer)]
    stopped = {"status": "incomplete", "incomplete_details": {"reason": reason}}
    return "response.incomplete", {"response": _response(request, output, answer, usage) | stopped}


def _message_events(item: Members, index: int) -> Iterator[Event]:
    [part] = item["content"]
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    opened: Members = {**item, "status": "in_progress", "content": []}
    yield "response.output_item.added", {"output_index": index, "item": opened}
    yield "response.content_part.added", {**place, "part": {**part, "text": ""}}
    for piece in pieces_of(part["text"]):
        yield "response.output_text.delta", {**place, "delta": piece, "logprobs": []}
    yield "response.output_text.done", {**place, "text": part["text"], "logprobs": []}
    yield "response.content_part.done", {**place, "part": part}
    yield "response.output_item.done", {"output_index": index, "item": item}


def _call_events(item: Members, index: int) -> Iterator[Event]:
    member = "input" if item["type"] == "custom_tool_call" else "arguments"
    kind = f"response.{item['type']}_{member}"
    place = {"item_id": item["id"], "output_index": index}
    opened = {**item, "status": "in_progress", member: ""}
    yield "response.output_item.added", {"output_index": index, "item": opened}
    for piece in pieces_of(item[member]):
        yield f"{kind}.delta", {**place, "delta": piece}
    yield f"{kind}.done", {**place, member: item[member]}
    yield "response.output_item.done", {"output_index": index, "item": item}


def output_items(reply: DemoReply, answer: str) -> list[Members]:
    """Return the items of an answer."""
    calls = [_call(call, answer, number) for number, call in enumerate(reply.calls)]
    return calls if reply.text is None else [_message(reply.text, answer), *calls]


def _message(text: str, answer: str) -> Members:
    part: Members = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {
        "id": call_id(answer, -1, "msg_"),
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }


def _call(call: ToolCall, answer: str, number: int) -> Members:
    kind, member = (
        ("custom_tool_call", "input") if call.freeform else ("function_call", "arguments")
    )
    return {
        "id": call_id(answer, number, "ctc_" if call.freeform else "fc_"),
        "type": kind,
        "status": "completed",
        "call_id": call_id(answer, number),
        "name": call.name,
        member: call.arguments,
    }


def _response(
    request: ChatRequest, output: list[Members], answer: str, usage: DemoUsage | None
) -> Members:
    """Return the response; one without usage is still in progress."""
    return {
        "id": answer,
        "object": "response",
        "created_at": CREATED,
        "status": "in_progress" if usage is None else "completed",
        "error": None,
        "incomplete_details": None,
        "model": request.model,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "store": False,
        "metadata": {},
        "usage": None if usage is None else _usage(usage),
    }


def _usage(usage: DemoUsage) -> Members:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }
