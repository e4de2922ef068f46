"""Reading ledgers: a folder of segments, one segment, or the slice of a cell, line by line.

One pass, one line in memory at a time, however long the ledger is. Compressed segments (`.zst`) are
unpacked on the way.

A *damaged* line is one that `parse_fields` refuses: no JSON, too long, cut off, or without a valid
place among calls and cells. Readers of one cell's slice stop at it. Readers of a ledger give a function
that is told of it, and go on: it stands for a call whose cost is not known, as far as its cell can
still be read.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from cab.scoring.errors import BadRecord
from cab.scoring.files import StrPath
from cab.scoring.ledger.archive.checkpoints import archived_calls
from cab.scoring.ledger.bounds import MAX_LINE_BYTES, BrokenLine, broken_line
from cab.scoring.ledger.filters import EVERYTHING, Filter, make_filter
from cab.scoring.ledger.records import AnyRecord, CallEnd, as_record, parse_fields
from cab.scoring.ledger.segments import find_segments, segment_files, segment_lines
from cab.scoring.ledger.totals import damaged_call

__all__ = [
    "MAX_LINE_BYTES",
    "Found",
    "OnDamage",
    "damaged_fields",
    "find_ends",
    "find_records",
    "is_start_line",
    "iter_calls",
    "iter_numbered",
    "iter_records",
    "ledger_lines",
    "newest_segments",
    "segment_files",
    "segment_lines",
]

OnDamage = Callable[[BadRecord], None]
"""Is told of each damaged line, by file and number."""

_CALL_HEAD = re.compile(
    rb'\{"schema":"cab\.call/1","kind":"(?:start|end)","call_id":"[^"\\]{1,256}"'
    rb',"cell_id":(?:null|"(?:[^"\\]|\\.)*+"),"seq":(?:null|[0-9]{1,16})'
    rb',"started_at":"[^"\\]{1,64}"'
)
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
    """Its members, unchecked; of a damaged line what `damaged_fields` gives."""

    def record(self) -> AnyRecord:
        """Return the record, checked.

        Raises:
            BadRecord: A field is missing or of the wrong type.
        """
        return as_record(self.fields, str(self.path), self.number)


def iter_records(  # noqa: PLR0913 - one argument for each way to choose
    path: StrPath,
    cell: str | None = None,
    *,
    prefix: str | None = None,
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
        cell: Only records of the cell with this id, all of it: `...#run1` is not `...#run10`.
        prefix: Only records of cells whose id starts so, such as `local/aider/`.
        model: Only calls that asked for this model, or that it answered.
        since: Only calls that started at this instant or later, RFC 3339 in UTC.
        until: Only calls that started before this instant.

    Raises:
        BadRecord: A line is not a record, is cut off, or the file cannot be read.
        ArchivedCalls: Some of these records are archived; a `BadRecord`.
        ValueError: `since` or `until` is not an instant.
    """
    path = Path(path)
    where = make_filter(cell, prefix=prefix, model=model, since=since, until=until)
    return (found.record() for found in find_records(path, where))


def iter_calls(  # noqa: PLR0913 - one argument for each way to choose
    path: StrPath,
    cell: str | None = None,
    *,
    prefix: str | None = None,
    model: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> Iterator[CallEnd]:
    """Yield the END records of a ledger folder, of one segment, or of a slice.

    Args:
        path: As for `iter_records`, and so are the others.
        cell: The cell.
        prefix: The cells.
        model: The model.
        since: The earliest start.
        until: The first start that is too late.

    Raises:
        BadRecord: As for `iter_records`; of a START nothing but its kind is looked at.
        ValueError: `since` or `until` is not an instant.
    """
    path = Path(path)
    where = make_filter(cell, prefix=prefix, model=model, since=since, until=until)
    records = (found.record() for found in find_ends(path, where))
    return (record for record in records if isinstance(record, CallEnd))


def find_records(
    path: Path,
    where: Filter = EVERYTHING,
    on_damage: OnDamage | None = None,
    on_archived: OnDamage | None = None,
    first: Mapping[int, int] | None = None,
) -> Iterator[Found]:
    """Yield the records that a filter admits as they stand in their files.

    Args:
        path: The folder or file.
        where: The filter.
        on_damage: Is told of damaged lines, which are then yielded as `damaged_fields`.
        on_archived: Is told if there are archived calls that the filter may admit.
        first: Worker -> number of the first of its segments that is read, in a folder; see `newest_segments`.

    Raises:
        ArchivedCalls: There are such calls, and nobody is to be told.
        BadRecord: As for `iter_records`, but that members are not checked, and a damaged line is no
            error if `on_damage` is there.
    """
    is_open = where == EVERYTHING
    lines = ledger_lines(path, first)
    _tell_of_archived(path, where, on_archived)
    for file, number, line in lines:
        try:
            fields = parse_fields(line, str(file), number)
            wanted = is_open or _admits(where, fields, file, number)
        except BadRecord as error:
            if on_damage is None:
                raise
            on_damage(error)
            fields = damaged_fields(line)
            wanted = is_open or _may_admit(where, fields)
        if wanted:
            yield Found(file, number, line, fields)


def find_ends(
    path: Path,
    where: Filter = EVERYTHING,
    on_damage: OnDamage | None = None,
    on_archived: OnDamage | None = None,
) -> Iterator[Found]:
    """Yield the END records that a filter admits as they stand in their files.

    Args:
        path: The folder or file.
        where: The filter.
        on_damage: Is told of damaged lines.
        on_archived: As for `find_records`.

    Raises:
        ArchivedCalls: As for `find_records`.
        BadRecord: As for `find_records`; of a START nothing but its kind is looked at.
    """
    lines = ledger_lines(path)
    _tell_of_archived(path, where, on_archived)
    for file, number, line in lines:
        if is_start_line(line):
            continue
        try:
            fields = parse_fields(line, str(file), number)
            wanted = fields.get("kind") == "end" and _admits(where, fields, file, number)
        except BadRecord as error:
            if on_damage is None:
                raise
            on_damage(error)
            continue
        if wanted:
            yield Found(file, number, line, fields)


def is_start_line(line: bytes) -> bool:
    """Return whether a line is a START, by its kind alone: half of a ledger is STARTs, which need no parser.

    The mark cannot stand in a text: its quotes would be escaped.
    """
    return _START_MARK in line and _END_MARK not in line and not isinstance(line, BrokenLine)


def _tell_of_archived(path: Path, where: Filter, on_archived: OnDamage | None) -> None:
    error = archived_calls(path, where)
    if error is None:
        return
    if on_archived is None:
        raise error
    on_archived(error)


def damaged_fields(line: bytes) -> dict[str, Any]:
    """Return what stands for a damaged line in sums: a call whose cost is not known.

    Its call, cell and number are there if the beginning of the line still says them, as a writer
    puts them first; its kind is none of a ledger's.
    """
    match = _CALL_HEAD.match(line)
    known: dict[str, Any] = {}
    if match is not None:
        try:
            known = orjson.loads(match[0] + b"}")
        except orjson.JSONDecodeError:
            known = {}
    return damaged_call(known)


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


def _may_admit(where: Filter, fields: dict[str, Any]) -> bool:
    """Return whether a damaged line may be one that a filter admits: nobody can say of which model."""
    try:
        return where.without_model().admits(fields)
    except ValueError:
        return False


def newest_segments(folder: Path) -> dict[int, int]:
    """Return the number of the last segment of each worker: what is written from now on stands there or later.

    Raises:
        BadRecord: The folder cannot be listed.
    """
    return {segment.worker: segment.number for segment in find_segments(folder)}


def ledger_lines(
    path: Path, first: Mapping[int, int] | None = None
) -> Iterator[tuple[Path, int, bytes]]:
    """Yield the lines of a folder's segments or of a file, with where each stands.

    Args:
        path: The folder or file.
        first: As for `find_records`.

    A line that is too long, and the last one of a single file if it is cut off, comes as a
    `BrokenLine`. In a folder that last line is left out: its writer may not have finished it.

    Raises:
        BadRecord: The file cannot be read.
    """
    is_folder = path.is_dir()
    # Listed at once: who asks for archived calls behind that misses none that is archived meanwhile.
    files = [path]
    if is_folder:
        begin = first or {}
        files = [s.path for s in find_segments(path) if s.number >= begin.get(s.worker, 0)]
    return _lines_of(files, is_folder=is_folder)


def _lines_of(files: list[Path], *, is_folder: bool) -> Iterator[tuple[Path, int, bytes]]:
    for file in files:
        for number, line in enumerate(segment_lines(file), 1):
            if line.endswith(b"\n") or isinstance(line, BrokenLine):
                yield file, number, line
            elif not is_folder:
                reason = "the line is cut off, its newline is missing"
                yield file, number, broken_line(line, reason)
