"""Taking back out of a stream what was asked for on the client's behalf, and nothing else."""

import re

from cab.proxy.meter.json_values import JsonObject, as_list, as_object, is_object, parse_object
from cab.proxy.meter.usage import USAGE_MEMBERS

_NULL_AFTER_COMMA = re.compile(rb',[ \t\r\n]*"usage"[ \t\r\n]*:[ \t\r\n]*null')
_NULL_BEFORE_COMMA = re.compile(rb'"usage"[ \t\r\n]*:[ \t\r\n]*null[ \t\r\n]*,')

# A chunk has one such member; more of them stand deep inside a tool's output, say.
_MAX_TRIES = 4


def without_injected_usage(
    data: JsonObject, payload: bytes, raw: bytes, *, finished: bool
) -> bytes | None:
    """Return what the client gets in place of an event, `None` for the event as it is.

    Args:
        data: The event's data, parsed.
        payload: The event's data, as they stand in one line of `raw`.
        raw: All bytes of the event.
        finished: Whether a choice had its finish reason before.
    """
    stated = [data[name] for name in USAGE_MEMBERS if name in data]
    if not stated:
        return None
    if stated == [None] and "usage" in data:
        cut = without_null_usage(data, payload)
        return None if cut is None or raw.count(payload) != 1 else raw.replace(payload, cut)
    choices = as_list(data.get("choices"))
    # LiteLLM's usage stands beside a choice with an empty delta.
    empty = not choices or (finished and all(_is_empty(choice) for choice in choices))
    return b"" if any(map(is_object, stated)) and empty and not data.get("error") else None


def _is_empty(choice: object) -> bool:
    members = dict(as_object(choice))
    members.pop("index", None)
    delta = dict(as_object(members.pop("delta", None)))
    delta.pop("role", None)  # said at the beginning; again it says nothing
    return not any(delta.values()) and not any(members.values())


def without_null_usage(data: JsonObject, payload: bytes) -> bytes | None:
    """Return a JSON object's text without its top-level `"usage": null`.

    Args:
        data: The object.
        payload: Its text.

    Returns:
        The text with this member and one comma gone and every other byte as it was; `None` if that
        cannot be shown by reading the result.
    """
    rest = {name: value for name, value in data.items() if name != "usage"}
    tries = 0
    for pattern in (_NULL_AFTER_COMMA, _NULL_BEFORE_COMMA):
        for match in pattern.finditer(payload):
            cut = payload[: match.start()] + payload[match.end() :]
            if parse_object(cut) == rest:
                return cut
            tries += 1
            if tries == _MAX_TRIES:
                return None
    return None
