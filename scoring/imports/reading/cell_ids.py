"""The id of an imported cell, made of what its file calls the parts."""

import re
from pathlib import Path
from typing import NamedTuple

from cab.scoring.errors import BadCellId, BadRecord
from cab.scoring.ids import CellId

UNKNOWN = "unknown"
"""Part of a cell id that a file does not name."""
IMPORTED = "imported"
"""Sweep of a cell whose file names no batch."""

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


def _part(text: str) -> str:
    return _SEPARATOR.sub("__", text.strip()) or UNKNOWN
