"""Files of one JSON object per line: a line that is broken is lost, and the others count."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from cab.scoring.errors import BadRecord
from cab.scoring.imports.reading.content import MAX_LINE_BYTES, Content, open_content
from cab.scoring.imports.reading.input_file import FileRow, InputFile
from cab.scoring.imports.reading.lenient import parse_lenient

_BOM = b"\xef\xbb\xbf"


def is_lines(content: Content) -> bool:
    """Return whether a content looks like one object per line: an object begins on each of the first two.

    An object that is laid out over several lines has its members there, and a list begins otherwise.
    """
    first, second = content.first_lines()
    return first.removeprefix(_BOM).startswith(b"{") and second.startswith(b"{")


def parsed_rows(content: Content, source: InputFile) -> Iterator[FileRow]:
    """Yield what each line holds; a line that cannot be read is noted and left out.

    Raises:
        BadRecord: The file cannot be read, or too many of its lines.
    """
    for number, line in content.lines():
        if line is None:
            what = f"is longer than {MAX_LINE_BYTES} bytes"
            source.lose(BadRecord(str(source.path), number, what))
            continue
        try:
            yield FileRow(parse_lenient(line, source, number), line=number)
        except BadRecord as error:
            torn = "" if line.endswith(b"\n") else "the last line is torn: "
            source.lose(BadRecord(error.path, number, f"{torn}{error.reason}", error.field))
    if content.torn is not None:
        source.lose(BadRecord(str(source.path), None, content.torn))


def first_row(rows: Iterator[FileRow]) -> tuple[FileRow | None, Iterable[FileRow]]:
    """Return the first row, None if there is none, and all of them."""
    first = next(rows, None)
    return first, () if first is None else chain([first], rows)


def read_lines_or_json(
    source: InputFile, rows_of: Callable[[object, InputFile], Iterable[FileRow]]
) -> Iterator[FileRow]:
    """Yield the rows of a file that holds one object per line, or one piece of JSON.

    Args:
        source: The file.
        rows_of: Makes rows of one piece of JSON.

    Raises:
        BadRecord: The file cannot be read.
    """
    with open_content(source.path) as content:
        if is_lines(content):
            yield from parsed_rows(content, source)
        else:
            yield from rows_of(parse_lenient(content.whole(), source), source)
