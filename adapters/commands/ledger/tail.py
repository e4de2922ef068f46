"""`cab ledger tail`: the last records of a ledger, and with -f new ones as they come."""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

from cab.adapters.commands.ledger.filters import FILTERS, PATH, filter_of, records_path
from cab.adapters.commands.ledger.nothing import report_nothing
from cab.adapters.commands.ledger.rows import CALL_COLUMNS, record_line
from cab.adapters.errors import AdapterError
from cab.adapters.ui.command import Option
from cab.adapters.ui.layout import Layout, layout
from cab.adapters.ui.options import JSON_LINES
from cab.adapters.ui.progress import complain
from cab.adapters.ui.tables import terminal_width
from cab.proxy.ledger.follow import Follower
from cab.scoring.ledger.filters import Filter
from cab.scoring.ledger.records import parse_fields

DESCRIPTION = "Print the last records of a ledger. With -f, print new ones as they come."

OPTIONS = (
    PATH(help="a ledger's folder"),
    FILTERS,
    Option("-n", type=int, default=10, metavar="N", dest="count", help="number of records"),
    Option("-f", "--follow", action="store_true", help="continue until Ctrl-C"),
    JSON_LINES(help="print all records as they are, one per line"),
)

_POLL_S = 0.2
_MANY_LINES = 10_000
"""Read to find the last few that match."""


class _Record(NamedTuple):
    at: str
    line: bytes
    fields: dict[str, Any]


def run(args: argparse.Namespace) -> int:
    """Print the last records, and follow if asked; return the exit code.

    Raises:
        AdapterError: The path is not a ledger's folder, or the number is below 0.
        BadRecord: The ledger cannot be read.
    """
    if args.count < 0:
        raise AdapterError(f"-n {args.count} is below 0")
    if not args.path.is_dir():
        raise AdapterError(f"{args.path} is not a folder; give a ledger's folder")
    if not args.follow:
        records_path(args.path)
    with closing(Follower(args.path)) as follower:
        try:
            printed = _print_last(follower, args)
            if not printed and args.count and not args.follow:
                return report_nothing(args.path, filter_of(args))
            while args.follow:
                _print(_matching(follower.new(), args), args)
                time.sleep(_POLL_S)
        except KeyboardInterrupt:  # how following ends
            return 0
    return 0


def _table() -> Layout:
    return layout(CALL_COLUMNS, (), terminal_width())


def _print_last(follower: Follower, args: argparse.Namespace) -> int:
    """Print the last records and return their number."""
    if not args.json:
        print("\n".join(_table().head()))
    # Records that do not match are in between, so more are read than are printed.
    records = list(_matching(follower.last(max(args.count, _MANY_LINES)), args))
    records.sort(key=lambda record: record.at)
    last = records[len(records) - min(args.count, len(records)) :]
    _print(last, args)
    return len(last)


def _matching(lines: Iterable[bytes], args: argparse.Namespace) -> Iterator[_Record]:
    where: Filter = filter_of(args)
    for line in lines:
        try:
            fields = parse_fields(line, str(args.path))
            wanted = (args.json or fields.get("kind") != "start") and where.admits(fields)
        except ValueError as error:  # also of a start that is not an instant
            complain(f"a damaged line is passed over: {error}")
            continue
        if wanted:
            yield _Record(_time_of(fields), line, fields)


def _time_of(fields: dict[str, Any]) -> str:
    """Return the time in a record; these texts sort as times do."""
    kind = "started_at" if fields.get("kind") == "start" else "ended_at"
    names = (kind, "opened_at", "sealed_at", "at")
    return str(next((fields[name] for name in names if fields.get(name)), ""))


def _print(records: Iterable[_Record], args: argparse.Namespace) -> None:
    table = _table()
    for record in records:
        if args.json:
            sys.stdout.buffer.write(record.line)
        else:
            sys.stdout.write(f"{record_line(record.fields, table)}\n")
    sys.stdout.flush()
    sys.stdout.buffer.flush()
