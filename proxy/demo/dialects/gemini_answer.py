"""Writes a reply as a Gemini generation: one JSON body, events, or a JSON array that grows."""

from collections.abc import Iterator

import orjson

from cab.proxy.demo.dialects.chunks import Members, pieces_of
from cab.proxy.demo.dialects.request import ChatRequest
from cab.proxy.demo.responder import DemoReply
from cab.proxy.demo.usage import DemoUsage


def generation(request: ChatRequest, reply: DemoReply, answer: str, usage: DemoUsage) -> bytes:
    """Return the body of an answer that is not streamed."""
    parts = [part for group in _groups(reply, whole=True) for part in group]
    return orjson.dumps(_chunk(request, parts, answer, usage, last=True))


def generation_events(
    request: ChatRequest, reply: DemoReply, answer: str, usage: DemoUsage
) -> Iterator[bytes]:
    """Yield the events of a streamed answer, as `alt=sse` asks for them."""
    for chunk in _chunks(request, reply, answer, usage):
        yield b"data: " + orjson.dumps(chunk) + b"\r\n\r\n"


def generation_array(
    request: ChatRequest, reply: DemoReply, answer: str, usage: DemoUsage
) -> Iterator[bytes]:
    """Yield the pieces of a streamed answer that is one JSON array."""
    *first, last = [orjson.dumps(chunk) for chunk in _chunks(request, reply, answer, usage)]
    opening = b"["
    for chunk in first:
        yield opening + chunk
        opening = b"\r\n,\r\n"
    yield opening + last + b"]\r\n"


def _chunks(
    request: ChatRequest, reply: DemoReply, answer: str, usage: DemoUsage
) -> Iterator[Members]:
    groups = [*_groups(reply, whole=False)] or [[]]
    for number, parts in enumerate(groups, start=1):
        yield _chunk(request, parts, answer, usage, last=number == len(groups))


def _groups(reply: DemoReply, *, whole: bool) -> Iterator[list[Members]]:
    """Yield the parts that come together: thoughts, text in pieces or whole, and all calls."""
    if reply.thought is not None:
        yield [{"text": reply.thought, "thought": True}]
    text = reply.text or ""
    yield from ([{"text": piece}] for piece in ([text] if whole else pieces_of(text)) if piece)
    if reply.calls:
        yield [_call(call.name, call.arguments) for call in reply.calls]


def _call(name: str, arguments: str) -> Members:
    return {"functionCall": {"name": name, "args": orjson.loads(arguments)}}


def _chunk(
    request: ChatRequest, parts: list[Members], answer: str, usage: DemoUsage, *, last: bool
) -> Members:
    candidate: Members = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if last:
        candidate["finishReason"] = "STOP"
    return {
        "candidates": [candidate],
        "usageMetadata": _usage(usage) if last else _prompt_usage(usage),
        "modelVersion": request.model,
        "responseId": answer,
    }


def _prompt_usage(usage: DemoUsage) -> Members:
    """Return the usage object before the end, where only the prompt is known."""
    counts = {
        "promptTokenCount": usage.prompt_tokens,
        "cachedContentTokenCount": usage.cached_tokens,
        "totalTokenCount": usage.prompt_tokens,
    }
    return _without_zeros(counts)


def _usage(usage: DemoUsage) -> Members:
    """Return the usage object; thoughts are not part of the candidates."""
    counts = {
        "promptTokenCount": usage.prompt_tokens,
        "cachedContentTokenCount": usage.cached_tokens,
        "candidatesTokenCount": usage.completion_tokens - usage.reasoning_tokens,
        "thoughtsTokenCount": usage.reasoning_tokens,
        "totalTokenCount": usage.total_tokens,
    }
    return _without_zeros(counts)


def _without_zeros(counts: dict[str, int]) -> Members:
    """Return the counts as the endpoint writes them: zeros are left out."""
    return {name: number for name, number in counts.items() if number}
