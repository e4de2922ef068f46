"""JSON as harnesses write it: `NaN`, lone surrogates and a byte order mark lose a value, not the file.

Python's own `json` writes all of these. Standard JSON is read by orjson; only what it refuses is read
a second time, slower, and then every value that had to be given up is named.
"""

import codecs
import json
import math
import re
from collections.abc import Iterator
from typing import Final

import orjson

from cab.scoring.errors import BadRecord
from cab.scoring.files import is_list, is_object, parse_json
from cab.scoring.imports.reading.input_file import InputFile

MAX_VALUES = 32 << 20
"""What a text may hold, where a list or an object weighs as much as four other values: parsed, 256 MiB
of empty lists would take 16 GiB."""

_MOST_NAMED = 5
_LARGEST = 2**64
_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "\ufffd"


class _Lost:
    """In place of a number that is none, until its place in the data is known."""


_LOST: Final = _Lost()


class _Repeated(ValueError):
    """An object has a member twice."""


def parse_lenient(text: bytes, source: InputFile, line: int | None = None) -> object:
    """Return what a text holds; a value that is not JSON is None, and the source notes it.

    Args:
        text: JSON, with or without a byte order mark.
        source: The file, which takes the notes.
        line: Line that the text is, None if it is the whole file.

    Raises:
        BadRecord: It is not JSON even so, a member is there twice, or it holds more than `MAX_VALUES`.
    """
    text = text.removeprefix(codecs.BOM_UTF8)
    if text.count(b",") + 4 * (text.count(b"{") + text.count(b"[")) > MAX_VALUES:
        raise BadRecord(str(source.path), line, "holds more values than any file of a harness")
    try:
        return parse_json(text, source.path, line)
    except BadRecord as error:
        if not isinstance(error.__cause__, orjson.JSONDecodeError):
            raise
        data = _parsed(text, error)
    return _cleaned(data, source, line, _undecodable(text))


def _parsed(text: bytes, refused: BadRecord) -> object:
    try:
        return json.loads(
            text.decode(errors="replace"),
            object_pairs_hook=_object,
            parse_constant=lambda _: _LOST,
            parse_float=_float,
            parse_int=_int,
        )
    except _Repeated as error:
        raise BadRecord(refused.path, refused.line, str(error)) from error
    except (ValueError, RecursionError):
        raise refused from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise _Repeated(f"the member {name!r} is there twice")
        found[name] = value
    return found


def _float(text: str) -> object:
    number = float(text)
    return number if math.isfinite(number) else _LOST


def _int(text: str) -> object:
    if len(text) > 20 or abs(int(text)) >= _LARGEST:
        return _LOST
    return int(text)


def _undecodable(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return True
    return False


def _cleaned(data: object, source: InputFile, line: int | None, undecodable: bool) -> object:
    """Return data without numbers that are none and lone surrogates; each is noted."""
    top: dict[str, object] = {"": data}
    named = 0
    for way, lost in _clean(top):
        named += 1
        if named <= _MOST_NAMED:
            number = "is not a number: taken as unknown"
            text = "holds half of a character: the character is lost"
            source.note(number if lost is _LOST else text, field=way, line=line)
    if named > _MOST_NAMED:
        source.note(f"{named - _MOST_NAMED} more values are lost in this way", line=line)
    if undecodable:
        source.note("holds bytes that are not UTF-8: these characters are lost", line=line)
    return top[""]


def _clean(top: dict[str, object]) -> Iterator[tuple[str, object]]:
    """Replace what cannot stay, and yield its name in the file and what it was. Data may be deep."""
    waiting: list[tuple[object, str]] = [(top, "")]
    while waiting:
        inside, way = waiting.pop()
        if is_object(inside):
            _clean_names(inside)
            for key, value in inside.items():
                name = f"{way}.{key}" if way else key
                inside[key] = _kept(value)
                waiting.append((inside[key], name))
                if inside[key] is not value:
                    yield name, value
        elif is_list(inside):
            for number, value in enumerate(inside):
                name = f"{way}.{number}" if way else str(number)
                inside[number] = _kept(value)
                waiting.append((inside[number], name))
                if inside[number] is not value:
                    yield name, value


def _kept(value: object) -> object:
    """Return the value itself if it can stay, and what stands in its place otherwise."""
    if value is _LOST:
        return None
    if isinstance(value, str) and _SURROGATE.search(value):
        return _SURROGATE.sub(_REPLACEMENT, value)
    return value


def _clean_names(data: dict[str, object]) -> None:
    for key in [key for key in data if _SURROGATE.search(key)]:
        data[_SURROGATE.sub(_REPLACEMENT, key)] = data.pop(key)
