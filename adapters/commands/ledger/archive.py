"""`cab ledger archive`: moves old segments out of a ledger, and leaves a checkpoint in their place."""

import argparse
import sys
import time
from pathlib import Path

from cab.adapters.ui.command import Option
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.options import JSON, duration_s
from cab.adapters.ui.place import files_only
from cab.adapters.ui.progress import progress
from cab.proxy.control.sealing import signer_from
from cab.proxy.ledger.archive.archiving import Archived, archive_ledger
from cab.scoring.printable import counted, printable

DESCRIPTION = """\
Move closed segments of a ledger to another folder. A checkpoint stays in their
place, so that the ledger verifies as before, and what cells have spent stays
spent. A proxy may write to the ledger meanwhile.
"""

EPILOG = """\
What was interrupted, by kill -9 too, is finished by the same command. cab ledger
restore brings segments back. docs/archive.md says what a checkpoint proves.

examples:
  cab ledger archive cab-ledger --to /backup/cab --older-than 30d
  cab ledger archive cab-ledger --to /backup/cab --seal-key-file seal.pem
"""


def _age(text: str) -> int:
    seconds = duration_s(text)
    if seconds is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an age; give 90m, 24h or 30d")
    return seconds


LEDGER = Option("ledger", type=files_only, metavar="LEDGER", help="the ledger's folder")
OPTIONS = (
    LEDGER,
    Option("--to", type=Path, metavar="DIR", required=True, help="where the segments go"),
    Option(
        "--older-than",
        type=_age,
        metavar="AGE",
        help="only segments that were closed so long ago: 24h, 30d; default: all closed ones",
    ),
    Option(
        "--seal-key-file",
        type=Path,
        metavar="FILE",
        help="sign the checkpoint with this private key, the proxy's seal_key_file",
    ),
    JSON,
)


def run(args: argparse.Namespace) -> int:
    """Archive what the arguments name; return the exit code.

    Raises:
        CabProxyError: It cannot be done; the ledger is as it was.
        ScoringError: A checkpoint cannot be read.
    """
    key: Path | None = args.seal_key_file
    age_s: int | None = args.older_than
    before_us = None if age_s is None else int((time.time() - age_s) * 1_000_000)
    sign = None if key is None else signer_from(key)
    with progress(f"archiving {printable(str(args.ledger))}", sys.stderr):
        done = archive_ledger(args.ledger, args.to, sign, before_us)
    if args.json:
        stated = done.checkpoint
        checkpoint = None if stated is None else stated.model_dump(mode="json")
        print_json({"checkpoint": checkpoint, "segments": done.segments})
    else:
        print(_sentence(done))
    return 0


def _sentence(done: Archived) -> str:
    if done.finished:
        print(f"an interrupted archive was finished: {done.finished} segments were taken away")
    if done.checkpoint is None:
        return "nothing to archive: no segment is closed, compressed and old enough"
    stated = done.checkpoint
    return (
        f"checkpoint {stated.number}: {counted(done.segments, 'segment')}, {counted(stated.calls, 'call')} of "
        f"{counted(stated.cells, 'cell is', 'cells are')} in {printable(stated.folder)}"
    )
