"""Writes a reply as an Anthropic message: one JSON body, or its sequence of events."""

from collections.abc import Iterator

import orjson

from cab.proxy.demo.dialects.chunks import Members, call_id, event, pieces_of
from cab.proxy.demo.dialects.request import ChatRequest
from cab.proxy.demo.responder import DemoReply
from cab.proxy.demo.tool import ToolCall
from cab.proxy.demo.usage import DemoUsage


def message(request: ChatRequest, reply: DemoReply, answer: str, usage: DemoUsage) -> bytes:
    """Return the body of an answer that is not streamed."""
    content = _blocks(reply, answer)
    end = {"stop_reason": _stop_reason(reply), "usage": _usage(usage)}
    return orjson.dumps({**_head(request, answer), "content": content, **end})


def message_events(
    request: ChatRequest, reply: DemoReply, answer: str, usage: DemoUsage
) -> Iterator[bytes]:
    """Yield the events of a streamed answer."""
    # What was written so far: the first event reports what was read, and the last one all.
    begun = {**_usage(usage), "output_tokens": 1}
    yield _event("message_start", message={**_head(request, answer), "usage": begun})
    yield _event("ping")
    for index, block in enumerate(_blocks(reply, answer)):
        yield _event(
            "content_block_start", index=index, content_block={**block, **_EMPTY[block["type"]]}
        )
        for delta in _deltas(block):
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    stop = {"stop_reason": _stop_reason(reply), "stop_sequence": None}
    yield _event("message_delta", delta=stop, usage=_usage(usage))
    yield _event("message_stop")


_EMPTY: dict[str, Members] = {"text": {"text": ""}, "tool_use": {"input": {}}}
"""Members of a block that come later, in pieces."""


def _head(request: ChatRequest, answer: str) -> Members:
    return {
        "id": answer,
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _blocks(reply: DemoReply, answer: str) -> list[Members]:
    calls = [_call(call, answer, number) for number, call in enumerate(reply.calls)]
    return [{"type": "text", "text": reply.text}, *calls] if reply.text else calls


def _call(call: ToolCall, answer: str, number: int) -> Members:
    name = call_id(answer, number, "toolu_")
    arguments = orjson.loads(call.arguments)
    return {"type": "tool_use", "id": name, "name": call.name, "input": arguments}


def _deltas(block: Members) -> Iterator[Members]:
    if block["type"] == "text":
        yield from ({"type": "text_delta", "text": piece} for piece in pieces_of(block["text"]))
        return
    for piece in pieces_of(orjson.dumps(block["input"]).decode()):
        yield {"type": "input_json_delta", "partial_json": piece}


def _stop_reason(reply: DemoReply) -> str:
    return "tool_use" if reply.calls else "end_turn"


def _usage(usage: DemoUsage) -> Members:
    """Return the usage object; `input_tokens` leaves out what was read from the cache."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
    }


def _event(kind: str, **members: object) -> bytes:
    return event({"type": kind, **members}, kind)
