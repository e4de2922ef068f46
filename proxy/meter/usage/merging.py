"""How the usage objects of one answer become one.

Usage is cumulative: a later count replaces an earlier one, and what a later object does not state (an
absent member, a null, a zero) leaves the earlier count as it is. Ollama and converters send zeros as
placeholders, others put counts and details into different chunks.
"""

from cab.proxy.meter.json_values import JsonObject, is_object

_TOTALS = ("total_tokens", "totalTokenCount")
_INPUT = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_NOTHING: tuple[object, ...] = ("", "0", [], {})


def merged(before: JsonObject, raw: JsonObject) -> JsonObject:
    """Return the usage object that stands once `raw` has come after `before`."""
    usage = {**raw, **before}
    for name, value in raw.items():
        old = before.get(name)
        if is_object(old) and is_object(value):
            usage[name] = merged(old, value)
        elif old is None or _states_something(value):
            usage[name] = value
    for name in _TOTALS:
        if name in before and not raw.get(name) and _counts_changed(before, raw):
            del usage[name]  # it was the sum of other counts than those that stand now
    return usage


def merged_message(before: JsonObject, raw: JsonObject) -> tuple[JsonObject, str | None]:
    """Return the same for an Anthropic message, and what in it contradicts itself, if anything.

    Its input side is one statement: tokens, tokens read from a cache, tokens written to one. Each
    excludes the others, so a later statement is taken with its zeros: vLLM's `message_start` has the whole
    prompt as `input_tokens`, its `message_delta` what the cache left of it, and the maximum of each
    member would count the cache twice. Members that it leaves out or null keep their value.
    """
    usage = merged(before, raw)
    stated = {name: raw[name] for name in _INPUT if raw.get(name) is not None}
    if not any(map(_states_something, stated.values())):
        return usage, None
    usage.update(stated)
    written = "cache_creation_input_tokens"
    if "cache_creation" not in raw and usage.get(written) != before.get(written):
        usage.pop("cache_creation", None)
    fresh, caches = before.get("input_tokens"), _INPUT[1:]
    split_later = any(stated.get(name) and not before.get(name) for name in caches)
    if fresh and split_later and not stated.get("input_tokens"):
        # Alibaba's DashScope: 3,602, and later 3,604 from the cache. Is the one inside the other?
        usage["input_tokens"] = fresh
        return usage, "cached tokens were stated after input_tokens, which may hold them"
    return usage, None


def _states_something(value: object) -> bool:
    if type(value) in (int, float):
        return value != 0
    return value is not None and value not in _NOTHING


def _counts_changed(before: JsonObject, raw: JsonObject) -> bool:
    return any(
        type(value) in (int, float, str) and _states_something(value) and value != before.get(name)
        for name, value in raw.items()
        if name.endswith(("_tokens", "TokenCount"))
    )
