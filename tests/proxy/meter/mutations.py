"""Bodies and streams as endpoints send them, and ones in which something is different."""

import copy
import random
from typing import Any

import orjson

from tests.proxy.meter.drive import DONE, event

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
_CHAT_USAGE = {
    "prompt_tokens": 30,
    "completion_tokens": 12,
    "total_tokens": 42,
    "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 4, "accepted_prediction_tokens": 0},
}
_DEEPSEEK_USAGE = {
    "prompt_tokens": 30,
    "completion_tokens": 12,
    "total_tokens": 42,
    "prompt_cache_hit_tokens": 10,
    "prompt_cache_miss_tokens": 20,
}
_RESPONSES_USAGE = {
    "input_tokens": 30,
    "output_tokens": 12,
    "total_tokens": 42,
    "input_tokens_details": {"cached_tokens": 8},
    "output_tokens_details": {"reasoning_tokens": 4},
}
_MESSAGES_USAGE = {
    "input_tokens": 3,
    "cache_creation_input_tokens": 20,
    "cache_read_input_tokens": 7,
    "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 12,
    "service_tier": "standard",
}
_TOOL_CALL = {"id": "call_1", "type": "function", "function": {"name": "run", "arguments": "{}"}}
_NAMES = {"id": "chatcmpl-9f8e7d6c5b4a", "model": "gpt-x", "system_fingerprint": "fp_1"}


def _chat(message: object, finish: str, usage: object) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    tier = {"service_tier": "default"}
    return {**_NAMES, **tier, "object": "chat.completion", "choices": [choice], "usage": usage}


_OUTPUT = [
    {"type": "reasoning", "id": "rs_1", "summary": []},
    {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]},
    {"type": "function_call", "call_id": "call_1", "name": "run", "arguments": "{}"},
]
_RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "gpt-x",
    "service_tier": "flex",
    "error": None,
    "incomplete_details": None,
    "output": _OUTPUT,
    "usage": _RESPONSES_USAGE,
}
_CONTENT = [
    {"type": "text", "text": "Hi"},
    {"type": "tool_use", "id": "toolu_1", "name": "run", "input": {"path": "a"}},
]
_MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": _CONTENT,
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": _MESSAGES_USAGE,
}

BODIES: list[tuple[str, dict[str, Any]]] = [
    (CHAT, _chat({"role": "assistant", "content": "Hi"}, "stop", _CHAT_USAGE)),
    (CHAT, _chat({"content": None, "tool_calls": [_TOOL_CALL] * 2}, "tool_calls", _DEEPSEEK_USAGE)),
    (RESPONSES, _RESPONSE),
    (MESSAGES, _MESSAGE),
]
"""Ordinary answers in one piece, with their paths."""


def _delta(delta: object, finish: str | None = None, usage: object = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {**_NAMES, "choices": [choice], "usage": usage}


def _fragment(arguments: str, **named: object) -> dict[str, Any]:
    return _delta({"tool_calls": [{"index": 0, **named, "function": {"arguments": arguments}}]})


_CHAT_STREAM = [
    _delta({"role": "assistant", "content": ""}),
    *(_delta({"content": text}) for text in ("a", "b", "c\n")),
    _fragment("", id="call_1", type="function"),
    *(_fragment(text) for text in ('{"p', '": 1', "}")),
    _delta({}, "tool_calls"),
    {**_NAMES, "choices": [], "service_tier": "flex", "usage": _CHAT_USAGE},
]
_RESPONSES_STREAM: list[dict[str, Any]] = [
    {"type": "response.created", "response": {**_RESPONSE, "status": "in_progress", "usage": None}},
    {"type": "response.output_item.added", "item": _OUTPUT[2]},
    *({"type": "response.output_text.delta", "delta": text, "output_index": 0} for text in "abc"),
    {"type": "response.completed", "response": _RESPONSE},
]
_MESSAGES_STREAM: list[dict[str, Any]] = [
    {"type": "message_start", "message": {**_MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "name": "f"}},
    *({"type": "content_block_delta", "delta": {"text": text}} for text in "abc"),
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
    {"type": "message_stop"},
]
STREAMS: list[tuple[str, list[dict[str, Any]]]] = [
    (CHAT, _CHAT_STREAM),
    (RESPONSES, _RESPONSES_STREAM),
    (MESSAGES, _MESSAGES_STREAM),
]
"""Ordinary streams, with their paths."""

_VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 12, 42, 2**31, 2**53 + 1, 12.0, 0.5, "", "7", "stop", "error"),
    *("failed", "null", "é" * 300, "sk-0123456789abcdef0123", "x" * 300, [], {}, [1], {"a": 1}),
    *({"cached_tokens": 99}, {"message": "no", "code": 500}, "in_progress", "message_stop"),
]
_MEMBERS = (
    *(
        "error",
        "code",
        "message",
        "object",
        "success",
        "base_resp",
        "x_groq",
        "usage",
        "usageMetadata",
    ),
    *("index", "delta", "finish_reason", "status", "iterations", "cost", "is_byok", "service_tier"),
    *(
        "cached_tokens",
        "reasoning_tokens",
        "cache_creation_input_tokens",
        "prompt_cache_hit_tokens",
    ),
    *(
        "completion_tokens",
        "prompt_tokens",
        "output_tokens",
        "total_tokens",
        "function_call",
        "type",
    ),
    *(
        "background",
        "incomplete_details",
        "stop_reason",
        "tool_calls",
        "id",
        "name",
        "held-key-9f8e7d",
    ),
)


def mutated(value: Any, chance: random.Random, times: int) -> Any:
    """Return a JSON value in which something is different, so many times."""
    changed = copy.deepcopy(value)
    for _ in range(times):
        _change(_inner(changed, chance), chance)
    return changed


def _inner(value: Any, chance: random.Random) -> Any:
    """Return an object or a list within a value, or itself."""
    while True:
        each = list(value.values()) if isinstance(value, dict) else value
        inside = [part for part in each if isinstance(part, dict | list) and part]
        if not inside or chance.random() < 0.3:
            return value
        value = chance.choice(inside)


def _change(holder: Any, chance: random.Random) -> None:
    new = copy.deepcopy(chance.choice(_VALUES))
    if isinstance(holder, list):
        at = chance.randrange(len(holder) + 1)
        holder[at : at + chance.randrange(2)] = [chance.choice([*holder, new])]
        return
    name = chance.choice([*holder, *holder, *_MEMBERS])
    what = chance.random()
    if what < 0.2:
        holder.pop(name, None)
    elif what < 0.3 and name in holder:
        holder[chance.choice(_MEMBERS)] = holder.pop(name)
    elif what < 0.5 and isinstance(holder.get(name), int):
        holder[name] += chance.choice([-1, 1, -12, 12, 10**9])
    else:
        holder[name] = new


def stream_of(parts: list[Any]) -> bytes:
    """Return the bytes of a stream of these events."""
    is_chat = any("choices" in part for part in parts if isinstance(part, dict))
    events = b"".join(event(orjson.dumps(part)) for part in parts)
    return events + DONE if is_chat else events
