"""One realistic answer per dialect, streamed and not, with the figures that it states.

The shapes are those that the vendors document; the texts and numbers are ours.
"""

from dataclasses import dataclass, field
from typing import Any

import orjson

from cab.scoring.ledger.records import Endpoint
from tests.tools.upstream import DONE, event


def named(name: str, data: dict[str, Any]) -> bytes:
    """Return a server-sent event with a name, as Anthropic and the Responses API send them."""
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps({"type": name, **data}) + b"\n\n"


@dataclass(frozen=True)
class Sample:
    """What a client asks and an endpoint answers in one dialect."""

    endpoint: Endpoint
    path: str
    request: dict[str, Any]
    answer: dict[str, Any]
    """The whole answer, not streamed."""
    figures: dict[str, int | None]
    """The usage that the answer states, as a record has it."""
    texts: list[bytes] = field(default_factory=list[bytes])
    """Events up to the last text, in order."""
    ending: list[bytes] = field(default_factory=list[bytes])
    """Events from there to the one before the terminal event: finish reason, usage."""
    terminal: bytes = b""
    """The event that tells a client that the stream is complete; empty where EOF does."""
    stream_path: str | None = None
    stream_request: dict[str, Any] | None = None
    finish_reason: str | None = None

    @property
    def streams(self) -> bool:
        return bool(self.texts)

    @property
    def events(self) -> list[bytes]:
        return [*self.texts, *self.ending, *([self.terminal] if self.terminal else [])]

    def target(self, *, stream: bool) -> str:
        return self.stream_path if stream and self.stream_path else self.path

    def body(self, *, stream: bool) -> dict[str, Any]:
        if not stream:
            return self.request
        return self.stream_request or {**self.request, "stream": True}


def figures(
    prompt: int,
    completion: int,
    *,
    read: int | None = None,
    write: int | None = None,
    reasoning: int | None = None,
) -> dict[str, int | None]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "cache_read_tokens": read,
        "cache_write_tokens": write,
        "reasoning_tokens": reasoning,
    }


def _chat() -> Sample:
    usage = {
        "prompt_tokens": 57,
        "completion_tokens": 21,
        "total_tokens": 78,
        "prompt_tokens_details": {"cached_tokens": 32},
        "completion_tokens_details": {"reasoning_tokens": 9},
    }
    head = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1, "model": "m-1"}

    def piece(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    texts = [piece({"role": "assistant", "content": ""})]
    texts += [piece({"content": word}) for word in ("Let", " me", " look", " at", " it", ".")]
    return Sample(
        endpoint="chat.completions",
        path="/v1/chat/completions",
        request={"model": "m", "messages": [{"role": "user", "content": "look"}]},
        answer={
            **head,
            "object": "chat.completion",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "Let me look at it."},
                    "finish_reason": "stop",
                }
            ],
            "usage": usage,
        },
        figures=figures(57, 21, read=32, reasoning=9),
        texts=texts,
        ending=[piece({}, "stop"), event({**head, "choices": [], "usage": usage})],
        terminal=DONE,
        stream_request={
            "model": "m",
            "messages": [{"role": "user", "content": "look"}],
            "stream": True,
            "stream_options": {"include_usage": True},
        },
        finish_reason="stop",
    )


def _completions() -> Sample:
    usage = {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}
    head = {"id": "cmpl-7", "object": "text_completion", "created": 1, "model": "m-1"}

    def piece(text: str, finish: str | None = None) -> bytes:
        return event({**head, "choices": [{"index": 0, "text": text, "finish_reason": finish}]})

    request = {"model": "m", "prompt": "def fib(n):"}
    return Sample(
        endpoint="completions",
        path="/v1/completions",
        request=request,
        answer={
            **head,
            "choices": [{"index": 0, "text": " return n", "finish_reason": "length"}],
            "usage": usage,
        },
        figures=figures(5, 6),
        texts=[piece(" re"), piece("turn"), piece(" n")],
        ending=[piece("", "length"), event({**head, "choices": [], "usage": usage})],
        terminal=DONE,
        stream_request={**request, "stream": True, "stream_options": {"include_usage": True}},
        finish_reason="length",
    )


def _embeddings() -> Sample:
    return Sample(
        endpoint="embeddings",
        path="/v1/embeddings",
        request={"model": "e", "input": "some text"},
        answer={
            "object": "list",
            "model": "e-1",
            "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}],
            "usage": {"prompt_tokens": 2, "total_tokens": 2},
        },
        figures=figures(2, 0),
    )


def _responses() -> Sample:
    usage = {
        "input_tokens": 40,
        "input_tokens_details": {"cached_tokens": 16},
        "output_tokens": 30,
        "output_tokens_details": {"reasoning_tokens": 12},
        "total_tokens": 70,
    }
    message = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "Let me look.", "annotations": []}],
    }
    open_response = {"id": "resp_7", "object": "response", "model": "m-1", "status": "in_progress"}
    response = {**open_response, "status": "completed", "output": [message], "usage": usage}
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    texts = [named("response.created", {"sequence_number": 0, "response": open_response})]
    texts += [
        named("response.output_text.delta", {"sequence_number": n, **at, "delta": word})
        for n, word in enumerate(("Let", " me", " look", "."), 1)
    ]
    return Sample(
        endpoint="responses",
        path="/v1/responses",
        request={"model": "m", "input": "look"},
        answer=response,
        figures=figures(40, 30, read=16, reasoning=12),
        texts=texts,
        ending=[
            named("response.output_text.done", {"sequence_number": 5, **at, "text": "Let me look."})
        ],
        terminal=named("response.completed", {"sequence_number": 6, "response": response}),
        finish_reason="completed",
    )


def _messages() -> Sample:
    start = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 30,
        "output_tokens": 1,
    }
    message = {"id": "msg_7", "type": "message", "role": "assistant", "model": "m-1"}
    opened: dict[str, Any] = {
        **message,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": start,
    }
    texts = [
        named("message_start", {"message": opened}),
        named("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        named("ping", {}),
    ]
    texts += [
        named("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": word}})
        for word in ("Let", " me", " look", ".")
    ]
    return Sample(
        endpoint="messages",
        path="/v1/messages",
        request={"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "look"}]},
        answer={
            **message,
            "content": [{"type": "text", "text": "Let me look."}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {**start, "output_tokens": 15},
        },
        figures=figures(60, 15, read=30, write=20),
        texts=texts,
        ending=[
            named("content_block_stop", {"index": 0}),
            named(
                "message_delta",
                {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 15}},
            ),
        ],
        terminal=named("message_stop", {}),
        finish_reason="end_turn",
    )


def _gemini() -> Sample:
    usage = {
        "promptTokenCount": 50,
        "cachedContentTokenCount": 8,
        "candidatesTokenCount": 12,
        "thoughtsTokenCount": 5,
        "totalTokenCount": 67,
    }

    def piece(text: str, finish: str | None = None, **more: Any) -> dict[str, Any]:
        content = {"role": "model", "parts": [{"text": text}]}
        candidate = {"content": content, "index": 0, **({"finishReason": finish} if finish else {})}
        return {"candidates": [candidate], "modelVersion": "m-1", "responseId": "r7", **more}

    base = "/v1beta/models/gem-m"
    return Sample(
        endpoint="gemini.generateContent",
        path=f"{base}:generateContent",
        request={"contents": [{"role": "user", "parts": [{"text": "look"}]}]},
        answer=piece("Let me look.", "STOP", usageMetadata=usage),
        figures=figures(50, 17, read=8, reasoning=5),
        texts=[event(piece(word)) for word in ("Let", " me", " look")],
        ending=[event(piece(".", "STOP", usageMetadata=usage))],
        stream_path=f"{base}:streamGenerateContent?alt=sse",
        stream_request={"contents": [{"role": "user", "parts": [{"text": "look"}]}]},
        finish_reason="STOP",
    )


SAMPLES = [_chat(), _completions(), _embeddings(), _responses(), _messages(), _gemini()]
BY_ENDPOINT = {sample.endpoint: sample for sample in SAMPLES}
