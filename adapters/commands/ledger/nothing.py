"""An empty choice of records: zero where the cell was opened or sealed, else unknown."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from cab.adapters.ui.progress import complain
from cab.scoring.cells.bundle import CALLS_FILE, SEAL_FILE
from cab.scoring.errors import BadRecord
from cab.scoring.ledger.filters import EVERYTHING, Filter
from cab.scoring.ledger.reading import find_records
from cab.scoring.ledger.seals import load_seal
from cab.scoring.ledger.totals import DAMAGED_LINE
from cab.scoring.printable import printable

_Item = TypeVar("_Item")
_UNENDED = frozenset({"start", DAMAGED_LINE})
_METERED = frozenset({"cell_open", "cell_seal"})


class CountingIterator(Generic[_Item]):
    """Counts what is taken from an iterable."""

    def __init__(self, items: Iterable[_Item]) -> None:
        self._items = items
        self.count = 0
        """How many were taken so far."""

    def __iter__(self) -> Iterator[_Item]:
        for item in self._items:
            self.count += 1
            yield item


def report_nothing(path: Path, where: Filter, shown: str | None = None) -> int:
    """Say why no call was chosen; return the exit code: 0 if that is a measured zero, else 1.

    Args:
        path: Where the records are, as `records_path` gives it.
        where: Which were asked for.
        shown: What people know as the path, if it is a temporary one.

    Raises:
        BadRecord: The ledger, or the seal of a bundle, cannot be read.
    """
    name = printable(shown or str(path))
    kinds = set[str]() if _by_call(where) else _kinds(path, where)
    if kinds & _UNENDED:
        complain(f"{name}: no call{_asked(where)} has ended")
        return 1
    if kinds & _METERED or (where == EVERYTHING and "proxy_start" in kinds):
        complain(f"{name}: no call{_asked(where)}; it was metered: zero calls")
        return 0
    hint = "; --prefix takes the beginning of ids" if where.cell is not None else ""
    complain(f"{name}: no call{_asked(where)}: that is unknown, not zero{hint}")
    return 1


def _by_call(where: Filter) -> bool:
    """Return whether calls are chosen by more than their cell: no opening says anything of these."""
    return (where.model, where.since_us, where.until_us) != (None, None, None)


def _kinds(path: Path, where: Filter) -> set[str]:
    kinds = {
        str(found.fields.get("kind")) for found in find_records(path, where, _pass_over, _pass_over)
    }
    seal = path.with_name(SEAL_FILE)
    if (
        path.name == CALLS_FILE
        and seal.exists()
        and where.admits({"cell_id": load_seal(seal).cell_id})
    ):
        kinds.add("cell_seal")
    return kinds


def _pass_over(_: BadRecord) -> None:
    """Take a damaged line as what it is; it was named when the records were read first."""


def _asked(where: Filter) -> str:
    parts = (
        ("of cell", where.cell),
        ("of cells whose id starts with", where.prefix),
        ("of model", where.model),
    )
    texts = [f" {what} {printable(name)}" for what, name in parts if name is not None]
    timed = (where.since_us, where.until_us) != (None, None)
    return "".join([*texts, " in that time" if timed else ""])
