"""How the usage objects of one answer become one.

Usage is cumulative: a later count replaces an earlier one, and what a later object does not state (an
absent member, a null, a zero) leaves the earlier count as it is. Ollama and converters send zeros as
placeholders, others put counts and details into different chunks.
"""

from cab.proxy.meter.json_values import JsonObject, is_object

_TOTALS = ("total_tokens", "totalTokenCount")
_PARTS = (
    ("prompt_tokens", "completion_tokens"),
    ("input_tokens", "output_tokens"),
    ("promptTokenCount", "toolUsePromptTokenCount", "candidatesTokenCount", "thoughtsTokenCount"),
)
"""What a total is the sum of, in each dialect."""
_INPUT = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_NOTHING: tuple[object, ...] = ("", "0", [], {})


def merged(before: JsonObject, raw: JsonObject) -> JsonObject:
    """Return the usage object that stands once `raw` has come after `before`."""
    usage = {**raw, **before}
    for name, value in raw.items():
        if type(value) is int and value:  # nearly always; each chunk of a stream may state usage
            usage[name] = value
            continue
        old = before.get(name)
        if is_object(old) and is_object(value):
            usage[name] = merged(old, value)
        elif old is None or _states_something(value):
            usage[name] = value
    for name in _TOTALS:
        if not raw.get(name) and name in before and _is_outdated(before, name, raw):
            del usage[name]
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


def counts_something(usage: object) -> bool:
    """Return whether a usage object holds any count but zeros."""
    if is_object(usage):
        return any(map(counts_something, usage.values()))
    return type(usage) in (int, float, str) and _states_something(usage)


def _states_something(value: object) -> bool:
    if type(value) in (int, float):
        return value != 0
    return value is not None and value not in _NOTHING


def _is_outdated(before: JsonObject, name: str, raw: JsonObject) -> bool:
    """Return whether an earlier total is the sum of other counts than those that stand now.

    It is if a count beside it has changed, or a count comes to others that were all of it. A total that was
    stated before its parts, or holds more than those that came with it, stands beside the later ones.
    """
    changed = [
        part
        for part, value in raw.items()
        if part.endswith(("_tokens", "TokenCount"))
        and type(value) in (int, float, str)
        and _states_something(value)
        and value != before.get(part)
    ]
    if any(_states_something(before.get(part)) for part in changed):
        return True
    return bool(changed) and any(_sum(before, parts) == _number(before[name]) for parts in _PARTS)


def _sum(usage: JsonObject, parts: tuple[str, ...]) -> float:
    return sum(_number(usage.get(part)) for part in parts)


def _number(value: object) -> float:
    """Return a count, also one that is given as text; 0 for what is none."""
    if isinstance(value, str) and value.strip().isdecimal() and len(value) <= 16:
        return float(value)
    return value if isinstance(value, int | float) else 0
