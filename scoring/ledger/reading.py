"""Reading ledgers: a folder of segments, one segment, or the slice of a cell, line by line.

One pass, one line in memory at a time, however long the ledger is. Compressed segments (`.zst`) are
unpacked on the way.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cab.scoring.errors import BadRecord
from cab.scoring.ledger.filters import EVERYTHING, Filter, make_filter
from cab.scoring.ledger.records import AnyRecord, CallEnd, as_record, parse_fields
from cab.scoring.ledger.segments import MAX_LINE_BYTES, segment_files, segment_lines

__all__ = [
    "MAX_LINE_BYTES",
    "Found",
    "find_ends",
    "find_records",
    "iter_calls",
    "iter_numbered",
    "iter_records",
    "ledger_lines",
    "segment_files",
    "segment_lines",
]

_START_MARK = b'"kind":"start"'
_END_MARK = b'"kind":"end"'


class Found(NamedTuple):
    """One record, and where it stands."""

    path: Path
    """The file."""
    number: int
    """The 1-based number of its line."""
    line: bytes
    """Its bytes, newline included."""
    fields: dict[str, Any]
    """Its members, unchecked."""

    def record(self) -> AnyRecord:
        """Return the record, checked.

        Raises:
            BadRecord: A field is missing or of the wrong type.
        """
        return as_record(self.fields, str(self.path), self.number)


def iter_records(
    path: Path,
    cell_prefix: str | None = None,
    *,
    model: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> Iterator[AnyRecord]:
    """Yield the records of a ledger folder, of one segment, or of a slice, in order.

    In a folder the segments are read by worker and number. The last line of a segment may be one
    that its writer has not finished; in a folder it is left out, in a single file it is an error,
    for that file is expected to be whole.

    Args:
        path: The folder or file.
        cell_prefix: Only records of cells whose id starts so, such as `local/aider/`.
        model: Only calls that asked for this model, or that it answered.
        since: Only calls that started at this instant or later, RFC 3339 in UTC.
        until: Only calls that started before this instant.

    Raises:
        BadRecord: A line is not a record, is cut off, or the file cannot be read.
        ValueError: `since` or `until` is not an instant.
    """
    where = make_filter(cell_prefix, model, since, until)
    return (found.record() for found in find_records(path, where))


def iter_calls(
    path: Path,
    cell_prefix: str | None = None,
    *,
    model: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> Iterator[CallEnd]:
    """Yield the END records of a ledger folder, of one segment, or of a slice.

    Args:
        path: As for `iter_records`, and so are the others.
        cell_prefix: The cells.
        model: The model.
        since: The earliest start.
        until: The first start that is too late.

    Raises:
        BadRecord: As for `iter_records`; of a START nothing but its kind is looked at.
        ValueError: `since` or `until` is not an instant.
    """
    where = make_filter(cell_prefix, model, since, until)
    records = (found.record() for found in find_ends(path, where))
    return (record for record in records if isinstance(record, CallEnd))


def find_records(path: Path, where: Filter = EVERYTHING) -> Iterator[Found]:
    """Yield the records that a filter admits as they stand in their files.

    Raises:
        BadRecord: As for `iter_records`, but that members are not checked.
    """
    is_open = where == EVERYTHING
    for file, number, line in ledger_lines(path):
        fields = parse_fields(line, str(file), number)
        if is_open or _admits(where, fields, file, number):
            yield Found(file, number, line, fields)


def find_ends(path: Path, where: Filter = EVERYTHING) -> Iterator[Found]:
    """Yield the END records that a filter admits as they stand in their files.

    Raises:
        BadRecord: As for `find_records`; of a START nothing but its kind is looked at.
    """
    for file, number, line in ledger_lines(path):
        # Half of a ledger is STARTs, and the mark cannot stand in a text: its quotes would be escaped.
        if _START_MARK in line and _END_MARK not in line:
            continue
        fields = parse_fields(line, str(file), number)
        if fields.get("kind") == "end" and _admits(where, fields, file, number):
            yield Found(file, number, line, fields)


def iter_numbered(path: Path) -> Iterator[tuple[int, AnyRecord]]:
    """Yield the records of one whole file with their 1-based line numbers.

    Raises:
        BadRecord: As for `iter_records`.
    """
    for found in find_records(path):
        yield found.number, found.record()


def _admits(where: Filter, fields: dict[str, Any], file: Path, number: int) -> bool:
    try:
        return where.admits(fields)
    except ValueError as error:
        raise BadRecord(str(file), number, str(error), field="started_at") from error


def ledger_lines(path: Path) -> Iterator[tuple[Path, int, bytes]]:
    """Yield the whole lines of a folder's segments or of a file, with where each stands.

    Raises:
        BadRecord: The file cannot be read, or is a single one whose last line is cut off.
    """
    if not path.is_dir():
        for number, line in enumerate(segment_lines(path), 1):
            if not line.endswith(b"\n"):
                raise BadRecord(str(path), number, "the line is cut off, its newline is missing")
            yield path, number, line
        return
    for file in segment_files(path):
        for number, line in enumerate(segment_lines(file), 1):
            if line.endswith(b"\n"):
                yield file, number, line
