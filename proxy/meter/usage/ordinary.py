"""Counts of usage objects as most endpoints write them, without the rules that all the others need.

What these functions return is what `read_usage` says of the same object, and then it has no notes, faults,
parts or warnings, and no price. Anything else they leave to it.
"""

from collections.abc import Callable, Mapping
from typing import TypeGuard, cast

from cab.proxy.meter.json_values import JsonObject, is_object
from cab.proxy.meter.usage.counts import Usage, UsageReader
from cab.proxy.meter.usage.fields import chat_usage, messages_usage, responses_usage
from cab.scoring.ledger.bounds import MAX_COUNT

_DETAILS = frozenset(
    (
        *("cached_tokens", "cache_write_tokens", "audio_tokens", "text_tokens", "image_tokens"),
        *("reasoning_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"),
    )
)
_CHAT = frozenset(
    (
        *("prompt_tokens", "completion_tokens", "total_tokens"),
        *("prompt_tokens_details", "completion_tokens_details"),
        *("prompt_cache_hit_tokens", "prompt_cache_miss_tokens", "cached_tokens"),
    )
)
_RESPONSES = frozenset(
    (
        *("input_tokens", "output_tokens", "total_tokens"),
        *("input_tokens_details", "output_tokens_details"),
    )
)
_MESSAGES = frozenset(
    (
        *("input_tokens", "output_tokens", "cache_read_input_tokens"),
        *("cache_creation_input_tokens", "cache_creation", "service_tier", "server_tool_use"),
    )
)
_LIFETIMES = frozenset(("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"))
_SEARCHES = frozenset(("web_search_requests", "web_fetch_requests"))
_TIERS = frozenset(("standard", "priority", "batch"))

ORDINARY_TEXTS = _DETAILS | _CHAT | _RESPONSES | _MESSAGES | _LIFETIMES | _SEARCHES | _TIERS
"""All texts that can stand in an ordinary usage object, as names or as values."""


def ordinary_chat_usage(raw: JsonObject) -> Usage | None:
    """Return what `chat_usage` reads in an ordinary object."""
    get = raw.get
    prompt, completion, total = get("prompt_tokens"), get("completion_tokens"), get("total_tokens")
    if not (_CHAT.issuperset(raw) and _is_some(prompt) and _is_some(completion)):
        return None
    if len(raw) == 3 and _is_some(total):
        return Usage(prompt, completion, total) if total == prompt + completion else None
    read = _inner(get("prompt_tokens_details"), _DETAILS)
    written = _inner(get("completion_tokens_details"), _DETAILS)
    hit, miss = get("prompt_cache_hit_tokens"), get("prompt_cache_miss_tokens")
    plain = get("cached_tokens")
    if read is None or written is None:
        return None
    if not (_may_be(hit) and _may_be(miss) and _may_be(plain)):
        return None
    if hit is not None and miss is not None and hit + miss not in (0, prompt):
        return None
    cached = next((c for c in (read.get("cached_tokens"), hit, plain) if c is not None), None)
    counts = cached, read.get("cache_write_tokens"), written.get("reasoning_tokens")
    return _settled(prompt, completion, total, *counts)


def ordinary_responses_usage(raw: JsonObject) -> Usage | None:
    """Return what `responses_usage` reads in an ordinary object."""
    get = raw.get
    prompt, completion = get("input_tokens"), get("output_tokens")
    if not (_RESPONSES.issuperset(raw) and _is_some(prompt) and _is_some(completion)):
        return None
    read = _inner(get("input_tokens_details"), _DETAILS)
    written = _inner(get("output_tokens_details"), _DETAILS)
    if read is None or written is None:
        return None
    caches = read.get("cached_tokens"), read.get("cache_write_tokens")
    reasoning = written.get("reasoning_tokens")
    return _settled(prompt, completion, get("total_tokens"), *caches, reasoning)


def ordinary_messages_usage(raw: JsonObject) -> Usage | None:
    """Return what `messages_usage` reads in an ordinary object."""
    get = raw.get
    fresh, output, tier = get("input_tokens"), get("output_tokens"), get("service_tier")
    if not (
        _MESSAGES.issuperset(raw) and _may_be(fresh) and fresh is not None and _is_some(output)
    ):
        return None
    read, written = get("cache_read_input_tokens"), get("cache_creation_input_tokens")
    parts = _inner(get("cache_creation"), _LIFETIMES)
    searches = _inner(get("server_tool_use"), _SEARCHES)
    if parts is None or searches is None or not (_may_be(read) and _may_be(written)):
        return None
    if not (tier is None or (type(tier) is str and tier in _TIERS)):
        return None
    stated = [count for count in parts.values() if count is not None]
    if stated and written is None:
        written = sum(stated)
    elif stated and written != sum(stated):
        return None
    prompt = fresh + (read or 0) + (written or 0)
    return _settled(prompt, output, None, read, written, None) if prompt else None


_BY_RULES: Mapping[object, Callable[[JsonObject], Usage | None]] = {
    chat_usage: ordinary_chat_usage,
    responses_usage: ordinary_responses_usage,
    messages_usage: ordinary_messages_usage,
}


def ordinary_usage(raw: JsonObject, counts: Callable[[UsageReader], Usage]) -> Usage | None:
    """Return what `read_usage` says of an ordinary object; None of all others.

    Args:
        raw: The object.
        counts: As for `read_usage`.
    """
    read = _BY_RULES.get(counts)
    return None if read is None else read(raw)


def _settled(  # noqa: PLR0913 - the counts of a call
    prompt: int,
    completion: int,
    total: object,
    read: int | None,
    written: int | None,
    thought: int | None,
) -> Usage | None:
    """Return the counts if they agree with each other; see `invariants`."""
    if total is None:
        total = prompt + completion
    if type(total) is not int or total != prompt + completion or total > MAX_COUNT:
        return None
    if (thought or 0) > completion or (read or 0) + (written or 0) > prompt:
        return None
    return Usage(prompt, completion, total, read, written, thought)


def _is_some(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 < value <= MAX_COUNT


def _may_be(value: object) -> TypeGuard[int | None]:
    return value is None or (type(value) is int and 0 <= value <= MAX_COUNT)


def _inner(value: object, names: frozenset[str]) -> Mapping[str, int | None] | None:
    """Return an object's counts, none of an absent one; None if there is anything else in it."""
    if value is None:
        return {}
    if not is_object(value) or not names.issuperset(value):
        return None
    return cast("Mapping[str, int | None]", value) if all(map(_may_be, value.values())) else None
