"""`cab ledger calls`: the calls of a ledger, or the sums of its cells, line by line."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import orjson

from cab.adapters.commands.ledger.damage import DamageReport
from cab.adapters.commands.ledger.filters import FILTERS, PLACE, filter_of, records_path
from cab.adapters.commands.ledger.nothing import CountingIterator, report_nothing
from cab.adapters.commands.ledger.rows import CALL_COLUMNS, call_cells
from cab.adapters.errors import AdapterError
from cab.adapters.ui.command import OneOf, Option
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.layout import Column
from cab.adapters.ui.options import form
from cab.adapters.ui.place import OpenedPlace, opened_place
from cab.adapters.ui.tables import print_rows, write_csv
from cab.scoring.ledger.archive.checkpoints import archived_cells
from cab.scoring.ledger.reading import Found, find_ends, find_records
from cab.scoring.ledger.records import CallEnd
from cab.scoring.ledger.totals import CellTotals, total_cells

DESCRIPTION = "List the calls of a ledger, of a bundle, or of one file, in the ledger's order."

EPILOG = """\
exit codes: 0 done, 1 nothing is known of what was asked for, or a line is damaged,
2 wrong usage. That no call was made is known of a cell that was opened or sealed.

examples:
  cab ledger calls --prefix my-sweep/aider/ --since 24h
  cab ledger calls --cell my-sweep/aider/gpt-5/polyglot/twin#run2
  cab ledger calls --by-cell --csv > cells.csv
  cab ledger calls postgresql://db.example/cab --by-cell
  cab ledger calls runs/local/aider/gpt-5/polyglot/python-error-handling --json | jq .usage_raw
"""

OPTIONS = (
    PLACE,
    FILTERS,
    Option("--limit", type=int, metavar="N", help="print at most N lines"),
    Option("--by-cell", action="store_true", help="print one line per cell, with its sums"),
    OneOf(
        form("json", "print the records as they are, one per line"),
        form("csv", "print comma-separated values with a header"),
    ),
)

COLUMNS = [name for name in CallEnd.model_fields if name not in {"record_schema", "kind", "prev"}]
"""Members of an END that a table has a column for."""

_CELL_COLUMNS = (
    *("cell_id", "calls", "attempts", "repetitions", "unmeasured", "partial", "rejected"),
    *("prompt_tokens", "completion_tokens", "total_tokens", "known_total_tokens"),
    "total_interval",
    *("cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
    *("latency_ms", "first_at", "last_at"),
)


def run(args: argparse.Namespace) -> int:
    """Print the calls, or the cells, that the arguments ask for; return the exit code.

    A damaged line is named and passed over; the code is 1 then, and where nothing is known of what
    was asked for.

    Raises:
        AdapterError: The limit is below 0.
        BadRecord: The ledger cannot be read.
        CabProxyError: The database cannot be read.
    """
    if args.limit is not None and args.limit < 0:
        raise AdapterError(f"--limit {args.limit} is below 0")
    with opened_place(args.path) as opened:
        return _run(args, opened)


def _run(args: argparse.Namespace, opened: OpenedPlace) -> int:
    path, where, damage = records_path(opened.path), filter_of(args), DamageReport(opened.said)
    if args.by_cell:
        found = find_records(path, where, damage, damage.archived)
        cells = total_cells(each.fields for each in found)
        archived = {cell for _, some in archived_cells(path, where) for cell in some}
        rows = [_cell_row(*item) for item in islice(cells.items(), args.limit)]
        rows = [_partly(row) if row["cell_id"] in archived else row for row in rows]
        _print_cells(args, rows)
        printed = len(rows)
    else:
        ends = CountingIterator(islice(find_ends(path, where, damage, damage.archived), args.limit))
        _print_calls(args, ends)
        printed = ends.count
    if printed or args.limit == 0:
        return damage.exit_code
    return report_nothing(path, where, opened.said(str(path))) or damage.exit_code


def _print_calls(args: argparse.Namespace, ends: Iterable[Found]) -> None:
    if args.form == "json":
        sys.stdout.buffer.writelines(found.line for found in ends)
    elif args.form == "csv":
        _print_csv(COLUMNS, (found.fields for found in ends))
    else:
        print_rows(CALL_COLUMNS, (call_cells(found.fields) for found in ends))


def _print_csv(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    write_csv(columns, ([_plain(row.get(name)) for name in columns] for row in rows))


def _plain(value: object) -> object:
    """Return a value for one field: unknown is empty, lists and objects are JSON."""
    if isinstance(value, dict | list | bool):
        return orjson.dumps(value).decode()
    return value


def _cell_row(cell_id: str | None, totals: CellTotals) -> dict[str, Any]:
    tokens = totals.tokens
    values = (
        *(cell_id, totals.calls, totals.attempts, totals.repetitions),
        *(totals.unmeasured_calls, totals.partial_calls, totals.rejected),
        *(tokens.prompt.value, tokens.completion.value, tokens.total.value, tokens.total.known),
        totals.interval.model_dump(),
        *(tokens.cache_read.value, tokens.cache_write.value, tokens.reasoning.value),
        *(totals.latency_ms.value, totals.first_at, totals.last_at),
    )
    return dict(zip(_CELL_COLUMNS, values, strict=True))


def _partly(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a cell of which calls are archived: its sums are not known here."""
    known = ("cell_id", "known_total_tokens", "last_at")
    interval = {**row["total_interval"], "unknown_calls": None, "upper_total": None}
    rest = dict.fromkeys(row)
    return {**rest, **{name: row[name] for name in known}, "total_interval": interval}


def _print_cells(args: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    if args.form == "json":
        print_json(*rows)
    elif args.form == "csv":
        _print_csv(_CELL_COLUMNS, rows)
    else:
        print_rows(_CELL_TABLE, map(_cell_texts, rows))


_CELL_TABLE = (
    Column("calls"),
    Column("unmeasured", rank=3),
    Column("partial", rank=4),
    Column("prompt", unit="tokens", rank=1),
    Column("completion", unit="tokens", rank=1),
    Column("total", unit="tokens"),
    Column("known", unit="tokens", rank=2),
    Column("at most", unit="tokens", rank=5),
    Column("cell", "path", least=28),
)


def _cell_texts(row: dict[str, Any]) -> tuple[str, ...]:
    def number(name: str) -> str:
        value = {**row, **row["total_interval"]}[name]
        return "-" if value is None else f"{value:,}"

    counts = ("calls", "unmeasured", "partial", "prompt_tokens", "completion_tokens")
    sums = ("total_tokens", "known_total", "upper_total")
    cell_id = row["cell_id"]
    return (*map(number, (*counts, *sums)), "-" if cell_id is None else cell_id)
