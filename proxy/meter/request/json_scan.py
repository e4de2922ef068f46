"""Where the members of a large JSON object stand, found in bounded memory.

What is inside a member's value is stepped over: its strings, brackets and characters must be those of JSON,
so that no reader can take a part of it for a member, but the values are not made. One call of a pattern
looks at no more than a window, because nothing else of the process runs meanwhile.
"""

import codecs
import json
import re

from cab.proxy.meter.request.canonical import BadJson
from cab.proxy.meter.request.json_members import Member

MAX_MEMBERS = 1000
MAX_DEPTH = 10_000
_MAX_NAME_BYTES = 256
"""A longer name is that of no member that is read."""
_WINDOW_BYTES = 1 << 20
_LEVELS = 4
"""How many levels of brackets one step passes; deeper ones are taken bracket by bracket."""
_SPACE = re.compile(rb"[ \t\r\n]*+")
_INSIDE = rb'[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+'
_IN_STRING = re.compile(_INSIDE)
_SCALAR = re.compile(rb"-?[0-9][0-9.eE+-]*+|true|false|null")


def _filler(levels: int) -> bytes:
    deeper = b"" if levels == 0 else rb"|[\[{]" + _filler(levels - 1) + rb"[\]}]"
    return rb"(?:[ \t\r\n0-9+\-.eEtrufalsn,:]++|" + b'"' + _INSIDE + b'"' + deeper + b")*+"


_FILLER = re.compile(_filler(_LEVELS))


def scan_members(text: bytes) -> list[Member]:
    """Return the top-level members of the JSON object in `text`, repeated names included.

    A name of more than 256 bytes is given as an empty one.

    Raises:
        BadJson: It holds no object, more than `MAX_MEMBERS` members, or deeper levels than `MAX_DEPTH`.
    """
    _check_utf8(text)
    found: list[Member] = []
    position = _after(text, 0, b"{")
    if text[position : position + 1] == b"}":
        position += 1
    else:
        last = b","
        while last == b",":
            if len(found) == MAX_MEMBERS:
                raise BadJson(f"more than {MAX_MEMBERS} members")
            member = _member(text, position)
            found.append(member)
            end = _space(text, member.value_end)
            last, position = text[end : end + 1], _space(text, end + 1)
        if last != b"}":
            raise BadJson("no end of a member")
    if _space(text, position) != len(text):
        raise BadJson("more than one value")
    return found


def _member(text: bytes, start: int) -> Member:
    if text[start : start + 1] != b'"':
        raise BadJson("no name of a member")
    name_end = _string_end(text, start)
    short = name_end - start <= _MAX_NAME_BYTES
    name: str = json.loads(text[start:name_end]) if short else ""
    value_start = _after(text, name_end, b":")
    return Member(name, value_start, _value_end(text, value_start))


def _value_end(text: bytes, start: int) -> int:
    first = text[start : start + 1]
    if first == b'"':
        return _string_end(text, start)
    if first in (b"{", b"["):
        return _bracket_end(text, start + 1)
    scalar = _SCALAR.match(text, start, start + _WINDOW_BYTES)
    if scalar is None:
        raise BadJson("no value")
    return scalar.end()


def _bracket_end(text: bytes, position: int) -> int:
    """Return the offset after the bracket that closes the one before `position`."""
    depth = 1
    while depth:
        start, position = position, _match_end(_FILLER, text, position)
        mark = text[position : position + 1]
        if mark == b'"':
            position = _string_end(text, position)
        elif mark in (b"[", b"{"):
            depth, position = depth + 1, position + 1
        elif mark in (b"]", b"}"):
            depth, position = depth - 1, position + 1
        elif position == start:
            raise BadJson("no JSON")
        if depth > MAX_DEPTH:
            raise BadJson("nested too deeply")
    return position


def _string_end(text: bytes, start: int) -> int:
    position = start + 1
    while text[position : position + 1] != b'"':
        start, position = position, _match_end(_IN_STRING, text, position)
        if position == start:
            raise BadJson("no end of a string")
    return position + 1


def _match_end(pattern: re.Pattern[bytes], text: bytes, position: int) -> int:
    match = pattern.match(text, position, position + _WINDOW_BYTES)
    return position if match is None else match.end()


def _space(text: bytes, position: int) -> int:
    return _match_end(_SPACE, text, position)


def _after(text: bytes, position: int, mark: bytes) -> int:
    position = _space(text, position)
    if text[position : position + 1] != mark:
        raise BadJson(f"no {mark.decode()}")
    return _space(text, position + 1)


def _check_utf8(text: bytes) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(text)
    try:
        for start in range(0, len(text), _WINDOW_BYTES):
            decoder.decode(view[start : start + _WINDOW_BYTES])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise BadJson(str(error)) from error
