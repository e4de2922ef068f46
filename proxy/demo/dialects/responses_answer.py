"""Writes a reply as an OpenAI response: one JSON body, or its sequence of events."""

from collections.abc import Iterator
from typing import Any

import orjson

from cab.proxy.demo.dialects.chat_request import ChatRequest
from cab.proxy.demo.dialects.chunks import CREATED, call_id, pieces_of
from cab.proxy.demo.responder import DemoReply
from cab.proxy.demo.tool import ToolCall
from cab.proxy.demo.usage import DemoUsage

Event = tuple[str, dict[str, Any]]
"""Type and members of an event."""


def response(request: ChatRequest, reply: DemoReply, answer: str, usage: DemoUsage) -> bytes:
    """Return the body of an answer that is not streamed."""
    return orjson.dumps(_response(request, _output(reply, answer), answer, usage))


def response_events(
    request: ChatRequest, reply: DemoReply, answer: str, usage: DemoUsage
) -> Iterator[bytes]:
    """Yield the events of a streamed answer."""
    for number, (kind, members) in enumerate(_events(request, reply, answer, usage)):
        data = {"type": kind, "sequence_number": number, **members}
        yield b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps(data))


def _events(
    request: ChatRequest, reply: DemoReply, answer: str, usage: DemoUsage
) -> Iterator[Event]:
    opened = _response(request, [], answer, None)
    yield "response.created", {"response": opened}
    yield "response.in_progress", {"response": opened}
    output = _output(reply, answer)
    for index, item in enumerate(output):
        yield from _ITEM_EVENTS[item["type"]](item, index)
    yield "response.completed", {"response": _response(request, output, answer, usage)}


def _message_events(item: dict[str, Any], index: int) -> Iterator[Event]:
    [part] = item["content"]
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    opened: dict[str, Any] = {**item, "status": "in_progress", "content": []}
    yield "response.output_item.added", {"output_index": index, "item": opened}
    yield "response.content_part.added", {**place, "part": {**part, "text": ""}}
    for piece in pieces_of(part["text"]):
        yield "response.output_text.delta", {**place, "delta": piece, "logprobs": []}
    yield "response.output_text.done", {**place, "text": part["text"], "logprobs": []}
    yield "response.content_part.done", {**place, "part": part}
    yield "response.output_item.done", {"output_index": index, "item": item}


def _function_events(item: dict[str, Any], index: int) -> Iterator[Event]:
    yield from _call_events(item, index, "arguments", "response.function_call_arguments")


def _custom_events(item: dict[str, Any], index: int) -> Iterator[Event]:
    yield from _call_events(item, index, "input", "response.custom_tool_call_input")


def _call_events(item: dict[str, Any], index: int, said: str, kind: str) -> Iterator[Event]:
    place = {"item_id": item["id"], "output_index": index}
    opened = {**item, "status": "in_progress", said: ""}
    yield "response.output_item.added", {"output_index": index, "item": opened}
    for piece in pieces_of(item[said]):
        yield f"{kind}.delta", {**place, "delta": piece}
    yield f"{kind}.done", {**place, said: item[said]}
    yield "response.output_item.done", {"output_index": index, "item": item}


_ITEM_EVENTS = {
    "message": _message_events,
    "function_call": _function_events,
    "custom_tool_call": _custom_events,
}


def _output(reply: DemoReply, answer: str) -> list[dict[str, Any]]:
    calls = [_call(call, answer, number) for number, call in enumerate(reply.calls)]
    return calls if reply.text is None else [_message(reply.text, answer), *calls]


def _message(text: str, answer: str) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {
        "id": call_id(answer, -1, "msg_"),
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }


def _call(call: ToolCall, answer: str, number: int) -> dict[str, Any]:
    kind, said = ("custom_tool_call", "input") if call.freeform else ("function_call", "arguments")
    return {
        "id": call_id(answer, number, "ctc_" if call.freeform else "fc_"),
        "type": kind,
        "status": "completed",
        "call_id": call_id(answer, number),
        "name": call.name,
        said: call.arguments,
    }


def _response(
    request: ChatRequest, output: list[dict[str, Any]], answer: str, usage: DemoUsage | None
) -> dict[str, Any]:
    """Return the response; one without usage is still under way."""
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


def _usage(usage: DemoUsage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }
