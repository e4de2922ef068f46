"""`cab ledger export`: the calls of a ledger as a table in a file."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from cab.adapters.commands.lake.calls import add_calls
from cab.adapters.commands.lake.state import open_lake
from cab.adapters.commands.ledger.columns import values_of
from cab.adapters.commands.ledger.damage import DamageReport
from cab.adapters.commands.ledger.filters import FILTERS, PATH, filter_of, records_path
from cab.adapters.commands.ledger.nothing import report_nothing
from cab.adapters.commands.ledger.parquet import parquet_row, write_parquet
from cab.adapters.commands.ledger.sqlite import write_sqlite
from cab.adapters.errors import AdapterError
from cab.adapters.ui.command import OneOf, Option
from cab.adapters.ui.progress import complain, progress
from cab.scoring.errors import BadRecord
from cab.scoring.ledger.filters import EVERYTHING
from cab.scoring.ledger.reading import Found, find_ends
from cab.scoring.printable import counted, printable

DESCRIPTION = """\
Write calls to a file with one typed column per field. A SQLite file may exist
already: its table `calls` takes new calls and keeps the others. A lake takes the
calls that it does not have yet, in Parquet files by sweep and day: run it as
often as you like.
"""

OPTIONS = (
    PATH,
    FILTERS,
    OneOf(
        Option("--sqlite", type=Path, metavar="FILE", help="add to this SQLite file"),
        Option("--parquet", type=Path, metavar="FILE", help="write this Parquet file"),
        Option(
            "--lake", type=Path, metavar="DIR", help="add what is new to this lake; docs/lake.md"
        ),
        required=True,
    ),
)


def run(args: argparse.Namespace) -> int:
    """Write the calls that the arguments ask for; return the exit code.

    A damaged line is named and passed over; the code is 1 then, and where nothing is known of what
    was asked for.

    Raises:
        AdapterError: The file cannot be written in this format, or the lake not at all.
        BadRecord: The ledger cannot be read.
    """
    if args.lake is not None:
        return _add_to_lake(args)
    path, where, damage = records_path(args.path), filter_of(args), DamageReport()
    calls = find_ends(path, where, damage, damage.archived)
    file: Path = args.sqlite or args.parquet
    write, row_of = (write_sqlite, values_of) if args.sqlite else (write_parquet, parquet_row)
    with progress(f"writing {printable(str(file))}", sys.stderr):
        count = write(file, _rows(calls, row_of, damage))
    print(f"{printable(str(file))}: {counted(count, 'call')}")
    return damage.exit_code if count else report_nothing(path, where) or damage.exit_code


def _add_to_lake(args: argparse.Namespace) -> int:
    ledger = records_path(args.path)
    if filter_of(args) != EVERYTHING:
        raise AdapterError(
            "a lake takes all calls of a ledger; leave out what chooses some of them"
        )
    if not ledger.is_dir():
        raise AdapterError(
            f"{printable(str(ledger))} is one file; a lake takes a ledger's folder, and bundles with cab export lake"
        )
    damage = DamageReport()
    with (
        progress(f"adding to {printable(str(args.lake))}", sys.stderr),
        open_lake(args.lake) as lake,
    ):
        done = add_calls(lake, ledger, damage)
    for fault in done.faults:
        complain(f"{printable(str(ledger))}: {fault}")
    if done.damaged:
        lines = counted(done.damaged, "line")
        complain(f"{printable(str(ledger))}: {lines} damaged, and not in the lake")
    print(f"{printable(str(args.lake))}: {counted(done.added, 'new call')}")
    return 1 if done.damaged or done.faults else 0


def _rows(
    calls: Iterable[Found], row_of: Callable[[Found], list[Any]], damage: DamageReport
) -> Iterator[list[Any]]:
    """Yield the rows of the calls; of those that are no valid records none, they are named."""
    for found in calls:
        try:
            row = row_of(found)
        except BadRecord as error:
            damage(error)
        else:
            yield row
