"""Where the members of a JSON object stand, so that one can be edited and the rest kept as it is."""

import json
import re
from typing import NamedTuple

# Possessive, so that a string of many megabytes is passed in one step and never tried again.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\],:]', re.DOTALL)
_SPACE = b" \t\r\n"


class Member(NamedTuple):
    """One member of an object."""

    name: str
    value_start: int
    """Offset of the value's first byte."""
    value_end: int
    """Offset after the value's last byte."""


def members(text: bytes) -> list[Member]:
    """Return the top-level members of the JSON object in `text`, repeated names included.

    Args:
        text: A JSON object, already known to parse.
    """
    found: list[Member] = []
    depth, name, value_start, last = 0, "", -1, b""
    for token in _TOKEN.finditer(text):
        first = token[0][:1]
        if depth == 1 and first in b",}" and value_start >= 0:
            found.append(_member(text, name, value_start, token.start()))
            value_start = -1
        if first in b"{[":
            depth += 1
        elif first in b"}]":
            depth -= 1
        elif depth == 1 and first == b":":
            name, value_start = _name(last), token.end()
        if depth == 1:
            last = token[0]
    return found


def _name(token: bytes) -> str:
    name = json.loads(token.decode("utf-8", "replace"))
    return name if isinstance(name, str) else ""


def _member(text: bytes, name: str, start: int, end: int) -> Member:
    value = text[start:end]
    start += len(value) - len(value.lstrip(_SPACE))
    end -= len(value) - len(value.rstrip(_SPACE))
    return Member(name, start, end)
