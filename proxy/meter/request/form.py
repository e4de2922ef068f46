"""Members of a form (multipart/form-data, RFC 7578): clients that upload a sound or an image send one."""

from cab.proxy.meter.json_values import JsonObject

_MEMBERS = ("model", "stream")
_BOUNDARY_BYTES = 72
"""RFC 2046: two hyphens and at most 70 characters."""
_HEAD_BYTES = 8192
_VALUE_BYTES = 1024
_DISPOSITION = b"content-disposition:"
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
        member = _name(body[start:head_end])
        value = body[head_end + 4 : end]
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


def _name(head: bytes) -> str | None:
    """Return the name that a part's head gives, None if it gives none."""
    for line in head.split(b"\r\n"):
        if line[: len(_DISPOSITION)].lower() != _DISPOSITION:
            continue
        for parameter in reversed(line.split(b";")[1:]):
            key, _, value = parameter.partition(b"=")
            if key.strip(b" \t").lower() == b"name":
                return value.strip(b" \t").removeprefix(b'"').partition(b'"')[0].decode("latin-1")
    return None


def _value(name: str, value: str) -> str | bool | None:
    return _SWITCH.get(value.strip().lower()) if name == "stream" else value
