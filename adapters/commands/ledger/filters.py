"""What the commands of `cab ledger` share: which ledger, and which of its records."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from cab.adapters.ui.command import Option, OptionGroup
from cab.adapters.ui.options import duration_s
from cab.adapters.ui.place import files_only, place
from cab.scoring.cells.bundle import CALLS_FILE
from cab.scoring.errors import BadRecord
from cab.scoring.ledger.filters import Filter
from cab.scoring.ledger.segments import ledgers_inside, segment_files
from cab.scoring.timestamps import instant_us


def filter_of(args: argparse.Namespace) -> Filter:
    """Return which records the arguments ask for."""
    return Filter(args.cell, args.prefix, args.model, args.since, args.until)


def records_path(path: Path) -> Path:
    """Return where to read the records of a path: of a bundle its calls, else the path itself.

    Raises:
        BadRecord: There is nothing there, or a folder without any.
    """
    if not path.exists():
        raise BadRecord(str(path), None, "No such file or directory")
    if (path / CALLS_FILE).is_file():
        return path / CALLS_FILE
    if path.is_dir() and not segment_files(path):
        raise BadRecord(
            str(path), None, f"is not a ledger: there is no *.jsonl in it{ledgers_inside(path)}"
        )
    return path


def _instant(text: str) -> int:
    """Return a time of a command line, in microseconds since 1970."""
    ago_s = duration_s(text)
    if ago_s is not None:
        return round((datetime.now(UTC).timestamp() - ago_s) * 1_000_000)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time; give 2026-11-20, 2026-11-20T08:30 or 24h"
        ) from None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return instant_us(at.isoformat())


PATH = Option(
    "path",
    nargs="?",
    type=files_only,
    default=Path("cab-ledger"),
    metavar="PATH",
    help="a ledger's folder, a bundle, a segment or a calls.jsonl",
)
PLACE = PATH(
    type=place,
    help="a ledger's folder, a bundle, a segment, a calls.jsonl, or postgresql://HOST/DATABASE",
)

FILTERS = OptionGroup(
    "which records",
    Option("--cell", metavar="ID", help="only of the cell with this id"),
    Option("--prefix", metavar="TEXT", help="only of cells whose id starts with this"),
    Option("--model", metavar="NAME", help="only of this model, requested or served"),
    Option(
        "--since",
        type=_instant,
        metavar="TIME",
        help="only calls that started then or later: 2026-11-20, 2026-11-20T08:30 (UTC), or a time "
        "ago, such as 90m, 24h, 7d",
    ),
    Option("--until", type=_instant, metavar="TIME", help="only calls that started before"),
)
