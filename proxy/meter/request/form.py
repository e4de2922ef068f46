"""Members of a form (multipart/form-data, RFC 7578): clients that upload a sound or an image send one."""

import re

from cab.proxy.meter.json_values import JsonObject

_MEMBERS = ("model", "stream")
_BOUNDARY_BYTES = 72
"""RFC 2046: two hyphens and at most 70 characters."""
_HEAD_BYTES = 8192
_VALUE_BYTES = 1024
_NAME = re.compile(rb'content-disposition:[^\r\n]*;[ \t]*name="?([^"\r\n;]*)', re.IGNORECASE)
_SWITCH: dict[object, bool] = {"true": True, "1": True, "false": False, "0": False}


def form_members(body: bytes) -> JsonObject | None:
    """Return `model` and `stream` as a form states them, `None` if the body is not a whole form.

    Files are stepped over, not looked into. A form that states one of the two twice is none: readers
    differ in which of them counts.
    """
    end = body.find(b"\r\n", 0, _BOUNDARY_BYTES + 2)
    if not body.startswith(b"--") or end < 3:
        return None
    delimiter = b"\r\n" + body[:end]
    found: JsonObject = {}
    while True:
        start = end + 2
        head_end = body.find(b"\r\n\r\n", start - 2, start + _HEAD_BYTES)
        end = _delimiter_at(body, delimiter, head_end + 2) if head_end >= 0 else -1
        if end < 0:
            return None
        name = _NAME.search(body, start, head_end)
        value = body[head_end + 4 : end]
        member = None if name is None else name[1].decode("latin-1")
        if member in found:
            return None
        if member in _MEMBERS and len(value) <= _VALUE_BYTES:
            found[member] = _value(member, value.decode("utf-8", "replace"))
        end += len(delimiter)
        if body.startswith(b"--", end):
            return found


def _delimiter_at(body: bytes, delimiter: bytes, start: int) -> int:
    """Return the offset of the next delimiter, -1 if there is none; a file may hold its beginning."""
    while (at := body.find(delimiter, start)) >= 0:
        if body.startswith((b"\r\n", b"--"), at + len(delimiter)):
            return at
        start = at + 2
    return -1


def _value(name: str, value: str) -> str | bool | None:
    return _SWITCH.get(value.strip().lower()) if name == "stream" else value
