"""`cab capture delete`: removes what was kept of one cell."""

import argparse

from cab.adapters.commands.capture.places import PATH, folder_of
from cab.adapters.errors import AdapterError
from cab.adapters.ui.command import OneOf, Option
from cab.proxy.ledger.capture.retention import delete_cell
from cab.scoring.printable import printable

DESCRIPTION = """\
Delete all bodies that were kept of one cell. Records, sums and seals stay as they are.
A proxy that runs may go on: what the cell asks later is kept anew.
"""

OPTIONS = (
    PATH,
    OneOf(
        Option("--cell", metavar="ID", help="the cell"),
        Option("--no-cell", action="store_true", help="the calls that belong to no cell"),
        required=True,
    ),
)


def run(args: argparse.Namespace) -> int:
    """Delete the cell; return the exit code.

    Raises:
        AdapterError: Nothing of it was kept.
    """
    if args.cell == "":  # as of a variable that is not set
        raise AdapterError("--cell needs the id of a cell; --no-cell deletes calls without one")
    whose = "calls without a cell" if args.cell is None else f"cell {args.cell}"
    if not delete_cell(folder_of(args.path), args.cell):
        raise AdapterError(f"{args.path} holds no bodies of {whose}")
    print(printable(f"deleted what was kept of {whose}"))
    return 0
