"""Published cell pages: as JSON, and as the text that a reader of the page copies.

The text form holds the same scores: in its section "Scorer breakdown" each axis is one line, with
its values as JSON.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cab.scoring.axes import KnownAxes
from cab.scoring.cells.published import PublishedCell, published_of, read_published
from cab.scoring.errors import BadRecord
from cab.scoring.files import is_object, parse_json, read_bytes

_BREAKDOWN = "Scorer breakdown"
_HEADINGS = frozenset({"Run identity", "Timing", _BREAKDOWN})
_END = "Trace replay"
"""Heading of what comes after the scores; it is what an agent did, not what it scored."""
_AXES = frozenset({*KnownAxes.model_fields, "composite"})
_KEYS = {"cell_id": ("identity", "cell_id")} | {
    name: ("timing", name.replace(" ", "_"))
    for name in ("prompt_tokens", "completion_tokens", "tokens source")
}
"""Line of a page that names a value -> where the value is in the JSON form."""
_ROW = re.compile(r"(?P<axis>[a-z_]+) [a-z_, ]*(?P<values>\{.*\})")


class _Location(NamedTuple):
    path: Path
    number: int


def is_page_text(text: bytes) -> bool:
    """Return whether a file looks like the text of a page."""
    return f"\n{_BREAKDOWN}".encode() in text


def is_page(data: object) -> bool:
    """Return whether parsed JSON looks like a page, or like a `cell.json`."""
    return is_object(data) and is_object(data.get("identity")) and "scorers" in data


def read_page(path: Path) -> PublishedCell:
    """Return the cell of a page in either form, or of a `cell.json` on its own.

    Raises:
        BadRecord: It is not a page, or a published key is missing or of the wrong type.
    """
    text = read_bytes(path)
    return page_of_text(text, path) if is_page_text(text) else read_published(path)


def page_of_text(text: bytes, path: Path) -> PublishedCell:
    """Return the cell of a page in text form."""
    try:
        lines = text.decode().replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise BadRecord(str(path), None, f"not valid UTF-8: {error.reason}") from error
    return published_of(_as_json(lines, path), path)


def _as_json(lines: Sequence[str], path: Path) -> dict[str, object]:
    parts: dict[str, dict[str, object]] = {"identity": {}, "timing": {}, "scorers": {}}
    section = ""
    for number, line in enumerate(lines, 1):
        if line == _END:
            break
        if line in _HEADINGS:
            section = line
        elif section in {"Run identity", "Timing"} and line in _KEYS:
            part, key = _KEYS[line]
            _put(parts, part, key, _value(lines, number), _Location(path, number))
        elif section == _BREAKDOWN and (row := _ROW.fullmatch(line)) and row["axis"] in _AXES:
            values = parse_json(row["values"].encode(), path, number)
            _put(parts, "scorers", row["axis"], values, _Location(path, number))
    return dict(parts)


def _value(lines: Sequence[str], number: int) -> str:
    """Return the line below one that names a value."""
    return lines[number] if number < len(lines) else ""


def _put(
    parts: Mapping[str, dict[str, object]], part: str, key: str, value: object, at: _Location
) -> None:
    if key in parts[part]:
        raise BadRecord(str(at.path), at.number, "is on the page twice", field=f"{part}.{key}")
    parts[part][key] = value
