"""Writes a reply as a chat completion: one JSON body, or a stream of server-sent events."""

from collections.abc import Iterator

import orjson

from cab.proxy.demo.dialects.chunks import CREATED, Members, call_id, event, pieces_of
from cab.proxy.demo.dialects.request import ChatRequest
from cab.proxy.demo.responder import DemoReply
from cab.proxy.demo.tool import ToolCall
from cab.proxy.demo.usage import DemoUsage

FINGERPRINT = "fp_cab_demo"

DONE = b"data: [DONE]\n\n"


def usage_json(usage: DemoUsage) -> Members:
    """Return the usage object of a chat completion."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def message_of(reply: DemoReply, answer: str) -> Members:
    """Return the reply as the message of an answer with this id."""
    message: Members = {"role": "assistant", "content": reply.text, "refusal": None}
    if reply.calls:
        message["tool_calls"] = [
            {"id": call_id(answer, number), **_call(call, call.arguments)}
            for number, call in enumerate(reply.calls)
        ]
    return message


def completion(request: ChatRequest, reply: DemoReply, answer: str, usage: DemoUsage) -> bytes:
    """Return the body of an answer that is not streamed."""
    message = message_of(reply, answer)
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
        for index in range(request.choices)
    ]
    head = _head(request, answer, "chat.completion")
    return orjson.dumps({**head, "choices": choices, "usage": usage_json(usage)})


def events(
    request: ChatRequest, reply: DemoReply, answer: str, usage: DemoUsage
) -> Iterator[bytes]:
    """Yield the events of a streamed answer; the usage only if the request asks for it."""
    head = _head(request, answer, "chat.completion.chunk")
    asked = {"usage": None} if request.include_usage else {}
    for index in range(request.choices):
        for delta in _deltas(reply, answer):
            yield event({**head, "choices": [_choice(index, delta, None)], **asked})
        yield event({**head, "choices": [_choice(index, {}, reply.finish_reason)], **asked})
    if request.include_usage:
        yield event({**head, "choices": [], "usage": usage_json(usage)})
    yield DONE


def _head(request: ChatRequest, answer: str, kind: str) -> Members:
    return {
        "id": answer,
        "object": kind,
        "created": CREATED,
        "model": request.model,
        "system_fingerprint": FINGERPRINT,
    }


def _choice(index: int, delta: Members, finish_reason: str | None) -> Members:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _deltas(reply: DemoReply, answer: str) -> Iterator[Members]:
    yield {"role": "assistant", "content": None if reply.text is None else "", "refusal": None}
    for piece in pieces_of(reply.text or ""):
        yield {"content": piece}
    for number, call in enumerate(reply.calls):
        opening = {"index": number, "id": call_id(answer, number), **_call(call, "")}
        yield {"tool_calls": [opening]}
        for piece in pieces_of(call.arguments):
            kind, member = ("custom", "input") if call.freeform else ("function", "arguments")
            yield {"tool_calls": [{"index": number, kind: {member: piece}}]}


def _call(call: ToolCall, arguments: str) -> Members:
    if call.freeform:
        return {"type": "custom", "custom": {"name": call.name, "input": arguments}}
    return {"type": "function", "function": {"name": call.name, "arguments": arguments}}
