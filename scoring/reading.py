"""Reading ledgers: a folder of segments, one segment, or the slice of a cell, line by line.

One pass, one line in memory at a time, however long the ledger is.
"""

from collections.abc import Iterator
from pathlib import Path

from cab.scoring.errors import BadRecord
from cab.scoring.files import check_regular, naming
from cab.scoring.records import AnyRecord, CallEnd, parse_record

MAX_LINE_BYTES = 16 << 20
"""A record holds no prompt and no answer: a line past this is no record."""


def iter_records(path: Path) -> Iterator[AnyRecord]:
    """Yield the records of a ledger folder, of one segment, or of a slice, in order.

    In a folder the files `*.jsonl` are read in the order of their names. The last line of a segment
    may be one that its writer has not finished; in a folder it is left out, in a single file it is
    an error, for that file is expected to be whole.

    Raises:
        BadRecord: A line is no record, is cut off, or the file cannot be read.
    """
    if not path.is_dir():
        yield from (record for _, record in iter_numbered(path))
        return
    for segment in sorted(path.glob("*.jsonl")):
        for number, line in _iter_lines(segment):
            if line.endswith(b"\n"):
                yield parse_record(line, str(segment), number)


def iter_calls(path: Path, cell_prefix: str | None = None) -> Iterator[CallEnd]:
    """Yield the END records of a ledger folder, of one segment, or of a slice.

    Args:
        path: As for `iter_records`.
        cell_prefix: Only calls of cells whose id starts so, such as `local/aider/`.

    Raises:
        BadRecord: As for `iter_records`.
    """
    for record in iter_records(path):
        if isinstance(record, CallEnd) and (
            cell_prefix is None or (record.cell_id or "").startswith(cell_prefix)
        ):
            yield record


def iter_numbered(path: Path) -> Iterator[tuple[int, AnyRecord]]:
    """Yield the records of one whole file with their 1-based line numbers.

    Raises:
        BadRecord: As for `iter_records`.
    """
    for number, line in _iter_lines(path):
        if not line.endswith(b"\n"):
            raise BadRecord(str(path), number, "the line is cut off, its newline is missing")
        yield number, parse_record(line, str(path), number)


def _iter_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    check_regular(path)
    number = 0
    with naming(path), path.open("rb") as handle:
        while line := handle.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise BadRecord(
                    str(path), number, f"the line is longer than {MAX_LINE_BYTES} bytes"
                )
            yield number, line
