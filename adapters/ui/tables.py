"""Results as a table on a terminal, as Markdown, as CSV, or as JSON lines."""

import csv
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from textwrap import wrap
from typing import Any, Literal, NamedTuple, cast

import orjson
from rich import box
from rich.table import Table
from rich.text import Text

from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.layout import Column, Layout, layout
from cab.scoring.printable import csv_text, printable

TableFormat = Literal["table", "json", "markdown", "csv"]
"""Forms of output; the last three are for programs and pages."""

_ROWS_MEASURED = 500


class ResultTable(NamedTuple):
    """Results for people: numbers in the units that are read, which stand once in the head."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    """One text per column."""


def text_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table of texts that may take several lines each, all but those of the first column."""
    table = Table(box=box.SIMPLE_HEAD)
    for number, name in enumerate(columns):
        table.add_column(name, no_wrap=number == 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(part)) for part in row))
    return table


def terminal_width() -> int | None:
    """Return how many cells a line of the standard output has; None if it is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def write(form: TableFormat, sheet: ResultTable, objects: Sequence[Any]) -> None:
    """Print results.

    Args:
        form: How.
        sheet: What a table and Markdown show.
        objects: What JSON and CSV hold: dataclasses or dicts.
    """
    match form:
        case "json":
            print_json(*objects)
        case "csv":
            _write_csv([flat(orjson.loads(orjson.dumps(each))) for each in objects])
        case "markdown":
            sys.stdout.write(markdown(sheet))
        case _:
            print_rows(sheet.columns, sheet.rows)


def markdown(sheet: ResultTable) -> str:
    """Return a Markdown table."""
    rules = ["---:" if column.kind == "number" else "---" for column in sheet.columns]
    lines = [[column.head for column in sheet.columns], rules, *sheet.rows]
    return "".join(f"| {' | '.join(_cell(part) for part in line)} |\n" for line in lines)


def flat(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return an object without objects in it: `{"a": {"b": 1}}` is `{"a.b": 1}`.

    A list becomes its JSON text.
    """
    found: dict[str, Any] = {}
    for name, value in tree.items():
        key = f"{above}{name}"
        if isinstance(value, Mapping) and value:
            found.update(flat(cast("Mapping[str, Any]", value), f"{key}."))
        elif isinstance(value, Mapping):
            found[key] = None
        else:
            found[key] = orjson.dumps(value).decode() if isinstance(value, list) else value
    return found


def _write_csv(rows: Iterable[Mapping[str, Any]]) -> None:
    every = list(rows)
    columns = list(dict.fromkeys(name for row in every for name in row))
    write_csv(columns, ([row.get(name, "") for name in columns] for row in every))


def write_csv(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Print comma-separated values under a header; no text in them is a spreadsheet's formula."""
    writer = csv.writer(_Lines(), lineterminator="\r\n")
    writer.writerow([csv_text(name) for name in columns])
    writer.writerows([csv_text(value) for value in row] for row in rows)


class _Lines:
    """Ends lines in the usual way.

    `csv` quotes only the line ends that it writes itself; a field with another one would be two rows.
    """

    def write(self, line: str) -> int:
        """Print a line."""
        return sys.stdout.write(f"{line[:-2]}\n")


def print_rows(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print a table, a line per row, in the width that there is; in a pipe, all of it.

    Rows are taken one by one after the first hundreds, by which the widths are chosen.
    """
    every = ([printable(part) for part in row] for row in rows)
    first = list(islice(every, _ROWS_MEASURED))
    table = layout(columns, first, terminal_width())
    for line in chain(table.head(), map(table.line, chain(first, every))):
        sys.stdout.write(f"{line}\n")
    print_left_out(table)


def print_left_out(table: Layout) -> None:
    """Print which columns of a table are not shown, if any, and where they are."""
    if table.left_out and table.width is not None:
        names = "; ".join(table.left_out)
        note = f"Not shown in {table.width} columns: {names}. A wider terminal or --json shows all."
        sys.stdout.write("".join(f"{line}\n" for line in wrap(note, table.width)))


def _cell(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace("|", "\\|")
