"""A file that is being read, and what is lost of it: one value or one row, and not the file."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from cab.scoring.errors import BadRecord
from cab.scoring.imports.model import ImportedCell
from cab.scoring.printable import printable

MAX_NOTES = 50
"""Notes that are kept of one file; a file that is broken all over is said to be so."""
MAX_LOST_ROWS = 10_000
"""A file with more rows that cannot be read is not of the form that it seems to have."""

_MAX_TEXT = 300


class ReadingWarning(UserWarning):
    """A value or a row of another harness's file that could not be read, and was left out."""


class Note(NamedTuple):
    """What a reader must know of what was read; it is one line of text."""

    path: str
    """The file."""
    line: int | None
    """1-based line, None if it is the whole file."""
    text: str
    """What is wrong, and what became of it."""
    row_lost: bool = False
    """Whether a whole row, and so a cell, could not be read."""

    def __str__(self) -> str:
        where = self.path if self.line is None else f"{self.path}:{self.line}"
        return f"{where}: {self.text}"


class FileRow(NamedTuple):
    """One part of a file that is a cell."""

    data: object
    """Parsed JSON."""
    at: str = ""
    """Where it stands in the file, as names joined by dots."""
    line: int | None = None
    """Line that it is; None where the file is one piece of JSON."""


class InputFile:
    """A file that is being read.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[Note] = []
        self.lost_rows = 0
        self._last: BadRecord | None = None
        self._unsaid = 0
        self._line: int | None = None
        self._of_cell: list[str] = []

    def note(self, text: str, *, field: str = "", line: int | None = None) -> None:
        """Note that something is not as it should be, such as a value that is taken as unknown."""
        what = clipped(f"{field}: {text}" if field else text)
        self._of_cell.append(what)
        self._add(Note(str(self.path), self._line if line is None else line, what))

    def lose(self, error: BadRecord) -> None:
        """Note that a row could not be read.

        Raises:
            BadRecord: There are too many of them.
        """
        self.lost_rows += 1
        self._last = error
        if self.lost_rows > MAX_LOST_ROWS:
            what = f"more than {MAX_LOST_ROWS} rows cannot be read, the last: {error.reason}"
            raise BadRecord(str(self.path), error.line, what, field=error.field) from error
        what = error.reason if error.field is None else f"{error.field}: {error.reason}"
        text = f"{clipped(what)}; this row is left out"
        self._add(Note(str(self.path), error.line, text, row_lost=True))

    def _add(self, note: Note) -> None:
        if len(self.notes) < MAX_NOTES:
            self.notes.append(note)
        else:
            self._unsaid += 1

    def all_notes(self) -> list[Note]:
        """Return the notes; the last one counts those that are not among them."""
        if not self._unsaid:
            return self.notes
        more = Note(str(self.path), None, f"{self._unsaid} more of such notes", self.lost_rows > 0)
        return [*self.notes, more]

    def one(self, make: Callable[["InputFile"], ImportedCell]) -> ImportedCell:
        """Return the cell that a function makes, with what was noted so far and meanwhile."""
        return _noting(make(self), self._of_cell)

    def cells(
        self, rows: Iterable[FileRow], make: Callable[[FileRow, "InputFile"], ImportedCell]
    ) -> list[ImportedCell]:
        """Return the cell of each row; a row that cannot be read is noted and left out.

        Raises:
            BadRecord: No row can be read, or there is none.
        """
        found = list(self._each(rows, make))
        if found:
            return found
        if self._last is None:
            raise BadRecord(str(self.path), None, "holds no run")
        raise self._last

    def _each(
        self, rows: Iterable[FileRow], make: Callable[[FileRow, "InputFile"], ImportedCell]
    ) -> Iterator[ImportedCell]:
        for row in rows:
            self._line = row.line
            try:
                cell = make(row, self)
            except BadRecord as error:
                self.lose(error)
            else:
                yield _noting(cell, self._of_cell)
            # What reading the next row notes is about the next cell.
            self._of_cell, self._line = [], None


def say(notes: Iterable[Note], on_note: Callable[[Note], None] | None) -> None:
    """Hand notes on; where nobody takes them, they are warnings of Python."""
    for note in notes:
        if on_note is None:
            warnings.warn(str(note), ReadingWarning, stacklevel=3)
        else:
            on_note(note)


def clipped(text: str) -> str:
    """Return a text as one line that is not too long."""
    shown = printable(text)
    return shown if len(shown) <= _MAX_TEXT else f"{shown[:_MAX_TEXT]}..."


def _noting(cell: ImportedCell, notes: Iterable[str]) -> ImportedCell:
    texts = list(dict.fromkeys([*cell.notes, *notes]))
    return cell.model_copy(update={"notes": texts}) if texts else cell
