"""SWE-bench predictions: as a list, as an object by instance, or as one object per line.

A prediction is a patch. It has no verdict, no time and no count, and does not name the agent.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from cab.scoring.errors import BadRecord
from cab.scoring.files import FileModel, is_list, is_object, validated
from cab.scoring.imports.model import ImportedCell, Origin
from cab.scoring.imports.reading.cell_ids import UNKNOWN, FieldNames, make_cell_id
from cab.scoring.imports.reading.input_file import FileRow, InputFile, say
from cab.scoring.imports.reading.lines import read_lines_or_json

FAMILY = "swe-bench"
"""Family of all cells of SWE-bench."""

_KEYS = frozenset({"model_patch", "model_name_or_path"})
_EVALUATED = frozenset({"test_result", "resolved"})
"""Members that no prediction has: the row is of another form."""


class _Prediction(FileModel):
    instance_id: str
    model_name_or_path: str | None = None
    model_patch: str | None


def is_prediction(data: object) -> bool:
    """Return whether parsed JSON looks like one prediction."""
    return is_object(data) and "instance_id" in data and _has_patch(data)


def is_predictions(data: object) -> bool:
    """Return whether parsed JSON looks like predictions; an empty list does not."""
    if is_object(data):
        values = data.values()
        by_instance = all(is_object(each) and _has_patch(each) for each in values)
        return is_prediction(data) or (bool(data) and by_instance)
    return is_list(data) and bool(data) and all(is_prediction(each) for each in data)


def _has_patch(data: dict[str, object]) -> bool:
    return not _KEYS.isdisjoint(data) and _EVALUATED.isdisjoint(data)


def read_swebench_predictions(path: Path) -> list[ImportedCell]:
    """Return one cell per prediction, in the order of the file.

    A line that cannot be read is left out, with a `ReadingWarning`.

    Raises:
        BadRecord: There are no predictions, an instance is there twice for one model, or a
            field is missing or of the wrong type.
    """
    source = InputFile(path)
    rows = read_lines_or_json(source, _rows)
    found = _cells(rows, source)
    say(source.all_notes(), None)
    return found


def predictions_listed(path: Path) -> Iterator[str]:
    """Yield the instance of each prediction of a file.

    Raises:
        BadRecord: The file cannot be read.
    """
    for row in read_lines_or_json(InputFile(path), _rows):
        name = row.data.get("instance_id") if is_object(row.data) else None
        if isinstance(name, str):
            yield name


def predictions_of(data: object, source: InputFile) -> list[ImportedCell]:
    """Return the cells of predictions that are parsed already; errors as for the reader."""
    return _cells(_rows(data, source), source)


def prediction_lines_of(rows: Iterable[FileRow], source: InputFile) -> list[ImportedCell]:
    """Return the cells of predictions that come one per line; errors as for the reader."""
    return _cells(rows, source)


def _rows(data: object, source: InputFile) -> Iterator[FileRow]:
    if is_list(data):
        yield from (FileRow(each, str(number)) for number, each in enumerate(data))
    elif is_prediction(data):
        yield FileRow(data)
    elif is_object(data):
        for instance, each in data.items():
            named = {"instance_id": instance, **each} if is_object(each) else each
            yield FileRow(named, instance)
            if is_object(each) and each.get("instance_id", instance) != instance:
                what = f"is {each['instance_id']!r} under the key {instance!r}"
                raise BadRecord(str(source.path), None, what, field=f"{instance}.instance_id")
    else:
        what = "holds no predictions: it is neither a list nor an object"
        raise BadRecord(str(source.path), None, what)


def _cells(rows: Iterable[FileRow], source: InputFile) -> list[ImportedCell]:
    seen: set[str] = set()

    def make(row: FileRow, _: InputFile) -> ImportedCell:
        cell = _cell(row, source.path)
        if cell.cell_id in seen:
            what = f"is there twice: {cell.cell_id}"
            field = f"{row.at}.instance_id" if row.at else "instance_id"
            raise BadRecord(str(source.path), row.line, what, field=field)
        seen.add(cell.cell_id)
        return cell

    return source.cells(rows, make)


def _cell(row: FileRow, path: Path) -> ImportedCell:
    prediction = validated(_Prediction, row.data, path, row.at, row.line)
    name, patch = prediction.instance_id, prediction.model_patch
    names = FieldNames(UNKNOWN, prediction.model_name_or_path, FAMILY, name)
    size = f"a patch of {len(patch):,} characters" if patch else "an empty patch"
    return ImportedCell(
        cell_id=make_cell_id(names, path),
        origin=Origin(form="swebench.predictions", version=None, name=name, verdicts=False),
        passed=None,
        reason=f"{size}; a prediction holds no verdict",
    )
