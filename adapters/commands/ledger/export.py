"""`cab ledger export`: the calls of a ledger as a table in a file."""

import argparse
import sys
from pathlib import Path

from cab.adapters.commands.ledger.filters import FILTERS, PATH, filter_of, records_path
from cab.adapters.commands.ledger.parquet import write_parquet
from cab.adapters.commands.ledger.sqlite import write_sqlite
from cab.adapters.ui.cell_table import printable
from cab.adapters.ui.command import OneOf, Option
from cab.adapters.ui.progress import progress
from cab.scoring.ledger.reading import find_ends

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

    Raises:
        AdapterError: The file cannot be written in this format.
        BadRecord: The ledger cannot be read.
    """
    calls = find_ends(records_path(args.path), filter_of(args))
    file: Path = args.sqlite or args.parquet
    write = write_sqlite if args.sqlite else write_parquet
    with progress(f"writing {printable(str(file))}", sys.stderr):
        count = write(file, calls)
    print(f"{printable(str(file))}: {count:,} call{'' if count == 1 else 's'}")
    return 0
