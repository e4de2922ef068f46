"""SWE-bench predictions: as a list, as an object by instance, or as one object per line.

A prediction is a patch. It has no verdict, no time and no count, and does not name the agent.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from cab.scoring.errors import BadRecord
from cab.scoring.files import FileModel, is_list, is_object, parse_json, read_bytes, validated
from cab.scoring.imports.model import ImportedCell, Origin
from cab.scoring.imports.reading import UNKNOWN, FieldNames, make_cell_id

FAMILY = "swe-bench"
"""Family of all cells of SWE-bench."""

_KEYS = frozenset({"model_patch", "model_name_or_path"})
_FIRST_LINE = re.compile(rb"\s*\{[^\n]*\}\s*\n\s*\{")
"""An object on one line, and the beginning of another one."""


class _Prediction(FileModel):
    instance_id: str
    model_name_or_path: str | None = None
    model_patch: str | None


class _Row(NamedTuple):
    data: object
    at: str
    line: int | None


def is_prediction(data: object) -> bool:
    """Return whether parsed JSON looks like one prediction."""
    return is_object(data) and "instance_id" in data and not _KEYS.isdisjoint(data)


def is_predictions(data: object) -> bool:
    """Return whether parsed JSON looks like predictions; an empty list does not."""
    if is_object(data):
        values = data.values()
        by_instance = all(is_object(each) and not _KEYS.isdisjoint(each) for each in values)
        return is_prediction(data) or (bool(data) and by_instance)
    return is_list(data) and bool(data) and all(is_prediction(each) for each in data)


def is_prediction_lines(text: bytes) -> bool:
    """Return whether a text looks like predictions, one per line."""
    first = _FIRST_LINE.match(text)
    return first is not None and b'"instance_id"' in first[0]


def read_swebench_predictions(path: Path) -> list[ImportedCell]:
    """Return one cell per prediction, in the order of the file.

    Raises:
        BadRecord: There are no predictions, an instance is there twice for one model, or a
            field is missing or of the wrong type.
    """
    text = read_bytes(path)
    if is_prediction_lines(text):
        return prediction_lines_of(text, path)
    return predictions_of(parse_json(text, path), path)


def predictions_of(data: object, path: Path) -> list[ImportedCell]:
    """Return the cells of predictions that are parsed already; errors as for the reader."""
    return _cells(_rows(data, path), path)


def prediction_lines_of(text: bytes, path: Path) -> list[ImportedCell]:
    """Return the cells of predictions that come one per line; errors as for the reader."""
    lines = enumerate(text.split(b"\n"), 1)
    rows = (
        _Row(parse_json(line, path, number), "", number) for number, line in lines if line.strip()
    )
    return _cells(rows, path)


def _rows(data: object, path: Path) -> Iterator[_Row]:
    if is_list(data):
        yield from (_Row(each, str(number), None) for number, each in enumerate(data))
    elif is_prediction(data):
        yield _Row(data, "", None)
    elif is_object(data):
        for instance, each in data.items():
            named = {"instance_id": instance, **each} if is_object(each) else each
            yield _Row(named, instance, None)
            if is_object(each) and each.get("instance_id", instance) != instance:
                what = f"is {each['instance_id']!r} under the key {instance!r}"
                raise BadRecord(str(path), None, what, field=f"{instance}.instance_id")
    else:
        raise BadRecord(str(path), None, "holds no predictions: it is neither a list nor an object")


def _cells(rows: Iterable[_Row], path: Path) -> list[ImportedCell]:
    cells: dict[str, ImportedCell] = {}
    for row in rows:
        cell = _cell(row, path)
        if cell.cell_id in cells:
            what = f"is there twice: {cell.cell_id}"
            raise BadRecord(str(path), row.line, what, field=_at(row, "instance_id"))
        cells[cell.cell_id] = cell
    if not cells:
        raise BadRecord(str(path), None, "holds no prediction")
    return list(cells.values())


def _cell(row: _Row, path: Path) -> ImportedCell:
    prediction = validated(_Prediction, row.data, path, row.at, row.line)
    name, patch = prediction.instance_id, prediction.model_patch
    names = FieldNames(UNKNOWN, prediction.model_name_or_path, FAMILY, name)
    size = f"a patch of {len(patch):,} characters" if patch else "an empty patch"
    return ImportedCell(
        cell_id=make_cell_id(names, path),
        origin=Origin(form="swebench.predictions", version=None, name=name),
        passed=None,
        reason=f"{size}; a prediction holds no verdict",
    )


def _at(row: _Row, field: str) -> str:
    return f"{row.at}.{field}" if row.at else field
