"""Answers in one piece as most endpoints write them, read without what all the others need.

Each function returns what its dialect's `Answer` and the rules of `usage` and `outcome` make of the same
object, where that is an ordinary one: a whole answer, one choice, no error, usage that adds up. Of anything
else it returns None, and then they decide.
"""

from collections.abc import Callable
from typing import NamedTuple

from cab.proxy.meter.dialects.answer import tier_of
from cab.proxy.meter.json_values import JsonObject, as_list, as_text, is_object
from cab.proxy.meter.usage import Usage
from cab.proxy.meter.usage.ordinary import (
    ordinary_chat_usage,
    ordinary_messages_usage,
    ordinary_responses_usage,
)


class OrdinaryBody(NamedTuple):
    """What a whole answer says."""

    model_served: str | None
    upstream_id: str | None
    system_fingerprint: str | None
    finish_reason: str
    usage: Usage
    usage_raw: JsonObject
    tool_calls: int | None
    service_tier: str | None = None


ReadOrdinary = Callable[[JsonObject], OrdinaryBody | None]

_ODD = frozenset(("error_type", "success", "base_resp", "code", "x_groq", "usageMetadata"))
"""Members that may state an error, or usage in another place."""
_CHAT_ENDS = frozenset(("stop", "length", "tool_calls", "content_filter", "function_call"))
_MESSAGE_ENDS = frozenset(
    ("end_turn", "tool_use", "max_tokens", "stop_sequence", "pause_turn", "refusal")
)


def chat_body(data: JsonObject) -> OrdinaryBody | None:
    """Return what a chat completion says."""
    choices, raw = as_list(data.get("choices")), data.get("usage")
    if len(choices) != 1 or not is_object(raw) or _is_odd(data):
        return None
    choice = choices[0]
    if not is_object(choice) or "delta" in choice or "error" in choice or choice.get("index"):
        return None
    finish, message = choice.get("finish_reason"), choice.get("message")
    if type(finish) is not str or finish not in _CHAT_ENDS or not is_object(message):
        return None
    listed = message.get("tool_calls")
    calls = _chat_calls(listed) if listed else 0
    usage = ordinary_chat_usage(raw)
    if usage is None or calls < 0 or message.get("function_call"):
        return None
    return _body(data, finish, usage, raw, calls)


def _chat_calls(listed: object) -> int:
    """Return how many tool calls a message has, -1 if two may be one; see `tool_calls`."""
    calls = as_list(listed)
    for position, call in enumerate(calls):
        if not is_object(call) or call.get("index", position) != position:
            return -1
        function = call.get("function")
        if type(call.get("index", 0)) is not int or not is_object(function):
            return -1
        if not as_text(call.get("id")) or not as_text(function.get("name")):
            return -1
        if type(function.get("arguments")) is not str:
            return -1
    return len(calls) or -1


def responses_body(data: JsonObject) -> OrdinaryBody | None:
    """Return what a response says."""
    raw, output = data.get("usage"), as_list(data.get("output"))
    if data.get("status") != "completed" or not output or not is_object(raw):
        return None
    if data.get("incomplete_details") is not None or _is_odd(data):
        return None
    calls = 0
    for item in output:
        if not is_object(item) or type(kind := item.get("type")) is not str:
            return None
        calls += kind.endswith("_call")
    usage = ordinary_responses_usage(raw)
    return None if usage is None else _body(data, "completed", usage, raw, calls)


def messages_body(data: JsonObject) -> OrdinaryBody | None:
    """Return what an Anthropic message says."""
    raw, content, stop = data.get("usage"), as_list(data.get("content")), data.get("stop_reason")
    if not content or not is_object(raw) or _is_odd(data):
        return None
    if type(stop) is not str or stop not in _MESSAGE_ENDS:
        return None
    calls = 0
    for block in content:
        if not is_object(block) or type(kind := block.get("type")) is not str:
            return None
        calls += kind.endswith("tool_use")
    usage = ordinary_messages_usage(raw)
    return None if usage is None else _body(data, stop, usage, raw, calls)


def _is_odd(data: JsonObject) -> bool:
    stated = data.get("error") is not None or data.get("object") == "error"
    return stated or not _ODD.isdisjoint(data)


def _body(data: JsonObject, finish: str, usage: Usage, raw: JsonObject, calls: int) -> OrdinaryBody:
    model, own_id, fingerprint = data.get("model"), data.get("id"), data.get("system_fingerprint")
    tier = tier_of(as_text(data.get("service_tier")), raw)
    names = as_text(model), as_text(own_id), as_text(fingerprint)
    return OrdinaryBody(*names, finish, usage, raw, calls, tier)
