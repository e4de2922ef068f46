"""`cab ledger restore`: brings archived segments back into their ledger."""

import argparse
import sys
from pathlib import Path

from cab.adapters.commands.ledger.archive import LEDGER
from cab.adapters.ui.command import Option
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.options import JSON
from cab.adapters.ui.progress import progress
from cab.proxy.ledger.archive.restoring import restore_ledger
from cab.scoring.printable import printable

DESCRIPTION = """\
Bring the segments of the newest archive back into their ledger, which is then as
it was. The archive's folder stays. A proxy may write to the ledger meanwhile.
"""

OPTIONS = (
    LEDGER,
    Option("--from", type=Path, metavar="DIR", dest="source", help="where the archive is now"),
    Option(
        "--checkpoint",
        type=int,
        metavar="N",
        help="bring back all archives down to this number; default: only the newest",
    ),
    JSON,
)


def run(args: argparse.Namespace) -> int:
    """Restore what the arguments name; return the exit code.

    Raises:
        CabProxyError: It cannot be done; the ledger is as it was.
        ScoringError: A checkpoint cannot be read.
    """
    with progress(f"restoring {printable(str(args.ledger))}", sys.stderr):
        done = restore_ledger(args.ledger, args.source, args.checkpoint)
    numbers = [each.number for each in done.checkpoints]
    if args.json:
        print_json({"checkpoints": numbers, "segments": done.segments})
    else:
        named = ", ".join(map(str, numbers))
        print(f"checkpoint {named}: {done.segments} segments are in the ledger again")
    return 0
