"""Writes a reply as an endpoint would: one JSON body, or a stream of server-sent events."""

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from cab.proxy.demo.actor import Reply
from cab.proxy.demo.request import ChatRequest

CREATED = 1767225600
"""`created` of every answer, 2026-01-01: a clock would make the same request answer differently."""
FINGERPRINT = "fp_cab_demo"
PIECE_CHARS = 160
"""Longest piece of text in one event; pieces end at line ends where they can."""

DONE = b"data: [DONE]\n\n"


class Usage(NamedTuple):
    """What a call costs."""

    prompt_tokens: int
    completion_tokens: int

    def as_json(self) -> dict[str, Any]:
        """Return the usage object of an answer; nothing is cached and nothing is reasoning."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }


def answer_id(body: bytes, repetition: int) -> str:
    """Return the id of the answer to the n-th request with this body."""
    return f"chatcmpl-{hashlib.sha256(body + b'#%d' % repetition).hexdigest()[:24]}"


def message_of(reply: Reply, answer: str) -> dict[str, Any]:
    """Return the reply as the message of an answer with this id."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None}
    if reply.calls:
        message["tool_calls"] = [
            {
                "id": _call_id(answer, number),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for number, call in enumerate(reply.calls)
        ]
    return message


def completion(request: ChatRequest, reply: Reply, answer: str, usage: Usage) -> bytes:
    """Return the body of an answer that is not streamed."""
    message = message_of(reply, answer)
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
        for index in range(request.choices)
    ]
    head = _head(request, answer, "chat.completion")
    return orjson.dumps({**head, "choices": choices, "usage": usage.as_json()})


def events(request: ChatRequest, reply: Reply, answer: str, usage: Usage) -> Iterator[bytes]:
    """Yield the events of a streamed answer; the usage only if the request asks for it."""
    head = _head(request, answer, "chat.completion.chunk")
    asked = {"usage": None} if request.include_usage else {}
    for index in range(request.choices):
        for delta in _deltas(reply, answer):
            yield _event({**head, "choices": [_choice(index, delta, None)], **asked})
        yield _event({**head, "choices": [_choice(index, {}, reply.finish_reason)], **asked})
    if request.include_usage:
        yield _event({**head, "choices": [], "usage": usage.as_json()})
    yield DONE


def _head(request: ChatRequest, answer: str, kind: str) -> dict[str, Any]:
    return {
        "id": answer,
        "object": kind,
        "created": CREATED,
        "model": request.model,
        "system_fingerprint": FINGERPRINT,
    }


def _choice(index: int, delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _deltas(reply: Reply, answer: str) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": None if reply.text is None else "", "refusal": None}
    for piece in _pieces(reply.text or ""):
        yield {"content": piece}
    for number, call in enumerate(reply.calls):
        function = {"name": call.name, "arguments": ""}
        opening = {"index": number, "id": _call_id(answer, number), "type": "function"}
        yield {"tool_calls": [{**opening, "function": function}]}
        for piece in _pieces(call.arguments):
            yield {"tool_calls": [{"index": number, "function": {"arguments": piece}}]}


def _pieces(text: str) -> Iterator[str]:
    """Yield a text line by line: some agents misread a code fence that comes in two pieces."""
    for line in text.splitlines(keepends=True):
        yield from (line[at : at + PIECE_CHARS] for at in range(0, len(line), PIECE_CHARS))


def _call_id(answer: str, number: int) -> str:
    return f"call_{hashlib.sha256(f'{answer}/{number}'.encode()).hexdigest()[:24]}"


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"
