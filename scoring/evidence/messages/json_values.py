"""JSON of unknown shape, looked at so that nothing raises."""

import json
from collections.abc import Callable, Iterable

import orjson

from cab.scoring.evidence.messages.model import SaidOther, SaidPart, SaidText
from cab.scoring.files import is_list, is_object

JsonObject = dict[str, object]

NO_JSON = object()
"""What `parsed` returns for a text that is not JSON; no JSON value is it."""


def parsed(text: bytes) -> object:
    """Return the JSON value in a text, read as leniently as SDKs do; `NO_JSON` if there is none.

    Its strings can be encoded: half a surrogate pair becomes a replacement character.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        value = json.loads(text.decode("utf-8-sig", "replace"), parse_constant=str)
        plain = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
        return orjson.loads(plain.decode("utf-16", "replace"))
    except (ValueError, RecursionError):
        return NO_JSON


def decoded(text: bytes) -> str:
    """Return bytes as text."""
    return text.decode("utf-8", "replace")


def json_text(value: object) -> str:
    """Return a parsed value as JSON text; in words if it is nested too deeply to be written."""
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONEncodeError:
        pass
    try:
        return json.dumps(value)
    except (ValueError, RecursionError):
        return "nested too deeply to be shown"


def compact(value: object) -> str:
    """Return a parsed value as JSON text on one line."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return json_text(value)


def object_of(value: object) -> JsonObject:
    """Return a value if it is an object, else an empty one."""
    return value if is_object(value) else {}


def list_of(value: object) -> list[object]:
    """Return a value if it is a list, else an empty one."""
    return value if is_list(value) else []


def text_of(value: object) -> str | None:
    """Return a value if it is text, else None."""
    return value if isinstance(value, str) else None


def first_text(holder: JsonObject, *names: str) -> str | None:
    """Return the first member of some that is text with something in it."""
    found = (holder.get(name) for name in names)
    return next((value for value in found if isinstance(value, str) and value), None)


def index_of(value: object, otherwise: int) -> int:
    """Return a value if it can be the place of something, else another."""
    return value if type(value) is int and 0 <= value < 1 << 31 else otherwise


def other(name: object, value: object) -> SaidOther:
    """Return what is not known."""
    text = value if isinstance(value, str) else json_text(value)
    return SaidOther(name if isinstance(name, str) and name else "unknown", text)


def others(holder: JsonObject, known: Iterable[str]) -> list[SaidOther]:
    """Return the members that are not known and say something."""
    left = {name: value for name, value in holder.items() if name not in known}
    return [other(name, value) for name, value in left.items() if value not in (None, "", [], {})]


def parts_of(content: object, read: Callable[[object], list[SaidPart]]) -> list[SaidPart]:
    """Return the parts of a content: a text, or a list whose members `read` reads."""
    if content in (None, ""):
        return []
    if isinstance(content, str):
        return [SaidText(content)]
    if is_list(content):
        return [part for each in list_of(content) for part in read(each)]
    return [other("content", content)]
