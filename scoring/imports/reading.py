"""What the readers of other harnesses' files share: cell ids, money, and sums of what is known."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

from cab.scoring.errors import BadCellId, BadRecord
from cab.scoring.files import is_object
from cab.scoring.ids import CellId
from cab.scoring.ledger.money import money

UNKNOWN = "unknown"
"""Part of a cell id that a file does not name."""
IMPORTED = "imported"
"""Sweep of a cell whose file names no batch."""

Number = TypeVar("Number", int, float)

_SEPARATOR = re.compile(r"[/\\#]")


class FieldNames(NamedTuple):
    """What a file calls the parts of a cell id."""

    tui: str
    """The agent."""
    model: str | None
    """The model, which may hold slashes; None if the file does not name it."""
    family: str
    """Family of the task."""
    task: str
    """Name of the task."""
    sweep: str | None = None
    """The batch; None if the file does not name it."""


def inner(data: Mapping[str, object], *keys: str) -> object:
    """Return the value at a path of keys, None where the path ends before."""
    found: object = data
    for key in keys:
        if not is_object(found):
            return None
        found = found.get(key)
    return found


def make_cell_id(names: FieldNames, path: Path) -> str:
    """Return the id of an imported cell; a slash within a part becomes `__`.

    Args:
        names: What the file calls the cell's parts.
        path: The file, for errors.

    Raises:
        BadRecord: A part cannot be part of a cell id.
    """
    try:
        cell = CellId(
            sweep=_part(names.sweep or IMPORTED),
            tui=_part(names.tui),
            model=(names.model or "").strip() or UNKNOWN,
            family=_part(names.family),
            task=_part(names.task),
        )
    except BadCellId as error:
        raise BadRecord(str(path), None, str(error)) from error
    return str(cell)


def usd(amount: float | None, path: Path, field: str) -> str | None:
    """Return an amount of money as decimal text, None if there is none.

    Raises:
        BadRecord: It is negative, or beyond any price.
    """
    if amount is None:
        return None
    text = str(amount)
    if money(text) is None:
        raise BadRecord(str(path), None, f"{text} is not an amount of US dollars", field=field)
    return f"{Decimal(text):f}"


def sum_known(parts: Sequence[Number | None]) -> Number | None:
    """Return the sum of the parts, None if one of them is not known."""
    known = [part for part in parts if part is not None]
    # A sum of integers is one, also that of none at all, which begins with the integer 0.
    return cast("Number", sum(known)) if len(known) == len(parts) else None


def _part(text: str) -> str:
    return _SEPARATOR.sub("__", text.strip()) or UNKNOWN
