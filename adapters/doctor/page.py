"""Tables in a Markdown page: new rows are merged in, others stay."""

import re
from collections.abc import Mapping, Sequence

UNKNOWN = "-"
"""What was not examined."""


def merge_rows(
    text: str, name: str, columns: Sequence[str], rows: Sequence[Mapping[str, str]]
) -> str:
    """Return a page with cells of a table replaced; other cells stay.

    Args:
        text: The page.
        name: The table's name: it stands between `<!-- name -->` and `<!-- /name -->`.
        columns: Its columns; the first names the row. Other columns of the page are removed.
        rows: Column -> new cell; the first column is in each.

    Raises:
        ValueError: The page has no such table.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    head, opened, rest = text.partition(begin)
    body, closed, tail = rest.partition(end)
    if not (opened and closed):
        raise ValueError(f"the page has no {begin.strip()} ... {end}")
    known = {row[columns[0]]: row for row in _rows(body) if columns[0] in row}
    for row in rows:
        cells = {column: _escaped(cell) for column, cell in row.items()}
        key = cells[columns[0]]
        known[key] = known.get(key, {}) | cells
    lines = [_line(columns), _line(["---"] * len(columns))]
    lines += [_line([known[key].get(each, UNKNOWN) for each in columns]) for key in sorted(known)]
    return head + opened + "\n".join(lines) + "\n" + closed + tail


def _rows(body: str) -> list[dict[str, str]]:
    """Return the rows that a page has: column -> cell, as it stands there."""
    lines = [_cells(line) for line in body.splitlines() if line.startswith("|")]
    return [dict(zip(lines[0], cells, strict=False)) for cells in lines[2:]] if lines else []


def _cells(line: str) -> list[str]:
    # A bar after a backslash is part of a cell.
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(cell: str) -> str:
    # A backslash at the end of a cell would escape the bar.
    return re.sub(r"\s+", " ", cell).strip().replace("\\", "/").replace("|", "\\|")
