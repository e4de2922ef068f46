"""`cab ledger export`: the calls of a ledger as a table in a file."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from cab.adapters.commands.ledger.columns import values_of
from cab.adapters.commands.ledger.damage import DamageReport
from cab.adapters.commands.ledger.filters import FILTERS, PATH, filter_of, records_path
from cab.adapters.commands.ledger.nothing import report_nothing
from cab.adapters.commands.ledger.parquet import parquet_row, write_parquet
from cab.adapters.commands.ledger.sqlite import write_sqlite
from cab.adapters.ui.command import OneOf, Option
from cab.adapters.ui.progress import progress
from cab.scoring.errors import BadRecord
from cab.scoring.ledger.reading import Found, find_ends
from cab.scoring.printable import printable

DESCRIPTION = """\
Write calls to a file with one typed column per field. A SQLite file may exist
already: its table `calls` takes new calls and keeps the others.
"""

OPTIONS = (
    PATH,
    FILTERS,
    OneOf(
        Option("--sqlite", type=Path, metavar="FILE", help="add to this SQLite file"),
        Option("--parquet", type=Path, metavar="FILE", help="write this Parquet file"),
        required=True,
    ),
)


def run(args: argparse.Namespace) -> int:
    """Write the calls that the arguments ask for; return the exit code.

    A damaged line is named and passed over; the code is 1 then, and where nothing is known of what
    was asked for.

    Raises:
        AdapterError: The file cannot be written in this format.
        BadRecord: The ledger cannot be read.
    """
    path, where, damage = records_path(args.path), filter_of(args), DamageReport()
    calls = find_ends(path, where, damage, damage.archived)
    file: Path = args.sqlite or args.parquet
    write, row_of = (write_sqlite, values_of) if args.sqlite else (write_parquet, parquet_row)
    with progress(f"writing {printable(str(file))}", sys.stderr):
        count = write(file, _rows(calls, row_of, damage))
    print(f"{printable(str(file))}: {count:,} call{'' if count == 1 else 's'}")
    return damage.exit_code if count else report_nothing(path, where) or damage.exit_code


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
