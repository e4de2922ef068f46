"""A cell to export: its facts and scores, and the files of its bundle."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os.path import lexists
from pathlib import Path

from cab.scoring.cells.bundle import CALLS_FILE
from cab.scoring.cells.cell import CELL_SCHEMA, Cell
from cab.scoring.errors import BadRecord
from cab.scoring.evidence.messages.captured import CapturedMessages
from cab.scoring.files import read_object, validated
from cab.scoring.ids import CellId, parse_cell_id
from cab.scoring.ledger.reading import iter_records
from cab.scoring.ledger.records import CallEnd, CallStart
from cab.scoring.ledger.totals import is_model_call
from cab.scoring.score import ScoredCell
from cab.scoring.timestamps import instant_us


@dataclass(frozen=True, slots=True)
class Source:
    """A cell with its facts."""

    path: Path
    """The bundle's folder, or the file."""
    cell: Cell
    """Its facts and scores."""
    cell_id: CellId
    """The parts of its id."""

    def file(self, name: str) -> Path | None:
        """Return a file of the bundle; None if there is no bundle, or it has no such file."""
        file = self.path / name
        return file if self.path.is_dir() and lexists(file) else None

    def messages(
        self, on_fault: Callable[[BadRecord], None] = lambda _: None
    ) -> CapturedMessages | None:
        """Return what was said in its calls; None if nobody kept it.

        Args:
            on_fault: Is told of each line, file and body that cannot be read.

        Raises:
            BadRecord: The capture's folder cannot be listed.
        """
        if not self.path.is_dir():
            return None
        return CapturedMessages(self.path, self.cell.identity.cell_id, on_fault) or None

    def calls(self) -> Iterator[CallEnd | CallStart]:
        """Yield the records of the model calls in the order in which the calls began.

        A call is its END; a START takes its place where there is none.

        Raises:
            BadRecord: The slice cannot be read.
        """
        file = self.file(CALLS_FILE)
        calls: dict[str, CallEnd | CallStart] = {}
        for record in iter_records(file) if file else ():
            if isinstance(record, CallStart | CallEnd):
                calls[record.call_id] = record
        for call in sorted(filter(is_model_call, calls.values()), key=_place):
            _check_start(call, file)
            yield call


def source_of(scored: ScoredCell) -> Source:
    """Return a scored cell with its facts.

    Raises:
        BadRecord: It has none: it is a published page, or of another harness.
    """
    cell = cell_of(scored)
    if cell is None:
        raise BadRecord(
            str(scored.path),
            None,
            "holds scores and no facts; export it as parquet, which needs none",
        )
    return Source(scored.path, cell, parse_cell_id(cell.identity.cell_id))


def cell_of(scored: ScoredCell) -> Cell | None:
    """Return the facts and scores of a cell, also of a `cell.json` on its own.

    Returns:
        None for a page, and for a cell of another harness.

    Raises:
        BadRecord: The file says that it is a cell, and is none.
    """
    if scored.cell is not None:
        return scored.cell
    if scored.imported is not None or scored.path.suffix != ".json":
        return None
    data = read_object(scored.path)
    return validated(Cell, data, scored.path) if data.get("schema") == CELL_SCHEMA else None


def _place(record: CallEnd | CallStart) -> tuple[str, int, str]:
    # RFC 3339 in UTC and of one width: the text sorts as the time does.
    return record.started_at, record.seq or 0, record.call_id


def _check_start(call: CallEnd | CallStart, file: Path | None) -> None:
    try:
        instant_us(call.started_at)
    except ValueError as error:
        raise BadRecord(str(file), None, str(error), field="started_at") from error
