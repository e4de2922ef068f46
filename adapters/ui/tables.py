"""Results as a table on a terminal, as Markdown, as CSV, or as JSON lines."""

import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

import orjson
from rich import box
from rich.table import Table
from rich.text import Text

from cab.adapters.ui.cell_table import fits, wide_console
from cab.adapters.ui.json_lines import print_json
from cab.scoring.printable import csv_text, printable

TableFormat = Literal["table", "json", "markdown", "csv"]
"""Forms of output; the last three are for programs and pages."""


class ResultTable(NamedTuple):
    """Results for people: numbers in the units that are read."""

    columns: Sequence[str]
    """Titles."""
    rows: Sequence[Sequence[str]]
    """One text per column."""
    texts: int = 1
    """Number of leading columns that hold texts, not numbers."""


def text_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table of texts; the first column stays on one line, as it is copied from there."""
    table = Table(box=box.SIMPLE_HEAD)
    for number, name in enumerate(columns):
        table.add_column(name, no_wrap=number == 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(part)) for part in row))
    return table


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
            _print_table(sheet)


def markdown(sheet: ResultTable) -> str:
    """Return a Markdown table."""
    rules = ["---"] * sheet.texts + ["---:"] * (len(sheet.columns) - sheet.texts)
    lines = [sheet.columns, rules, *sheet.rows]
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


def _print_table(sheet: ResultTable) -> None:
    """Print a line per row, or a block per row if a line does not fit."""
    console = wide_console()
    table = _table(sheet)
    if fits(console, table):
        console.print(table)
        return
    for row in sheet.rows:
        console.print(Text(_title(sheet, row)), soft_wrap=True)
        console.print(_block(sheet, row), "")


def _title(sheet: ResultTable, row: Sequence[str]) -> str:
    """Return the title of a row; several texts each with its column's name."""
    names = zip(sheet.columns, row[: sheet.texts], strict=False)
    title = row[0] if sheet.texts == 1 else ", ".join(f"{name} {text}" for name, text in names)
    return printable(title)


def _block(sheet: ResultTable, row: Sequence[str]) -> Table:
    block = Table(box=None, show_header=False)
    block.add_column(no_wrap=True)
    block.add_column(overflow="fold")
    for name, part in zip(sheet.columns[sheet.texts :], row[sheet.texts :], strict=True):
        block.add_row(Text(name), Text(printable(part)))
    return block


def _table(sheet: ResultTable) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for index, name in enumerate(sheet.columns):
        table.add_column(name, justify="left" if index < sheet.texts else "right", overflow="fold")
    for row in sheet.rows:
        table.add_row(*(Text(printable(part)) for part in row))
    return table


def _cell(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace("|", "\\|")
