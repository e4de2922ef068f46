"""A cell as one line of JSON: the members of its `cell.json`, without the white space."""

import orjson

from cab.scoring.cells.cell import Cell
from cab.scoring.errors import BadRecord


def cell_line(cell: Cell) -> bytes:
    """Return a cell as a line of `cab.cell/1`, newline included.

    Raises:
        BadRecord: A number is past what JSON readers take.
    """
    data = cell.model_dump(mode="json", by_alias=True)
    try:
        return orjson.dumps(data, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError as error:
        raise BadRecord(cell.identity.cell_id, None, str(error)) from error
