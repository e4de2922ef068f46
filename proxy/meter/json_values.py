"""Typed looks at JSON of unknown shape: nothing here raises for a wrong type."""

import json
from typing import TypeGuard, cast

import orjson

JsonObject = dict[str, object]
"""A JSON object whose members are still to be judged."""

MAX_COUNT = 2**53
"""The largest count believed: beyond it JSON readers disagree about an integer's value."""

MAX_MARKS = 1 << 18
"""Each value takes some hundred bytes of memory, however short its text is."""


def has_many_values(text: bytes | bytearray) -> bool:
    """Return whether a text has more than 262,144 bytes among `[`, `{` and `,`, wherever they stand."""
    if len(text) <= MAX_MARKS:
        return False
    return sum(map(text.count, (b"[", b"{", b","))) > MAX_MARKS


def parse(data: bytes) -> object:
    """Return the JSON value in `data`.

    Raises:
        ValueError: It is not JSON, even read leniently.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        # Endpoints that cut text at token borders send half a surrogate pair or half a UTF-8
        # character; a client's SDK reads these, so the meter must.
        try:
            return json.loads(data.decode("utf-8-sig", "replace"))
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def parse_object(data: bytes) -> JsonObject | None:
    """Return the JSON object in `data`, or `None` if it holds none."""
    try:
        value = parse(data)
    except ValueError:
        return None
    return value if is_object(value) else None


def is_object(value: object) -> TypeGuard[JsonObject]:
    """Return whether `value` is a JSON object."""
    return isinstance(value, dict)


def as_object(value: object) -> JsonObject:
    """Return `value` if it is an object, else an empty one."""
    return value if is_object(value) else {}


def as_list(value: object) -> list[object]:
    """Return `value` if it is a list, else an empty one."""
    return cast("list[object]", value) if isinstance(value, list) else []


def as_text(value: object) -> str | None:
    """Return `value` if it is a text with something in it."""
    return value if isinstance(value, str) and value else None


def as_count(value: object) -> int | None:
    """Return `value` as a count of tokens, or `None` if it cannot be one.

    An integral float counts (some endpoints write `12.0`); a boolean does not.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and 0 <= value <= MAX_COUNT else None


def dump_text(value: object) -> str:
    """Return `value` as compact JSON text, empty if it cannot be written as such."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return ""


def clean(text: str) -> str:
    """Return `text` as it can be written in UTF-8: surrogate pairs joined, lone ones replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def clean_or_none(text: str | None) -> str | None:
    """Return `clean(text)`, or `None` for `None`."""
    return None if text is None else clean(text)
