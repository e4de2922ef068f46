"""`cab report`: pages of cells, to read in a browser, from a folder or from a web server."""

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from cab.adapters.errors import AdapterError
from cab.adapters.report.single import write_single
from cab.adapters.report.site import SiteBuilder
from cab.adapters.ui.command import OneOf, Option
from cab.adapters.ui.messages_option import MESSAGES_OPTION, say_what_is_not_shown
from cab.adapters.ui.place import opened_runs, place, said
from cab.adapters.ui.progress import complain, counted_progress
from cab.scoring.errors import BadRecord, ScoringError
from cab.scoring.printable import counted
from cab.scoring.score import find_cells, score_one

DESCRIPTION = """\
Write cells as pages: each figure with who counted it, every model call, a replay
of the run, the changes, and how to check and repeat it. The pages need nothing
but a browser: no server, no network. Open index.html from the folder.

A second run renders only what changed. Runs are bundles, published cells, or
files of other harnesses.

What was said in the calls is shown only with --messages, and only of cells that
were run with a capture: it holds all that the agent read.
"""

EPILOG = """\
exit codes: 0 done, 2 wrong usage, or a cell that cannot be shown (all others are)

examples:
  cab report runs -o site
  cab report runs -o site --base-url https://example.org/results/
  cab report runs/local/aider/gpt-5/polyglot/python-error-handling --single cell.html
"""

_URL = re.compile(r"https?://[^\s\"'<>`\\^{|}()\[\]?#]+", re.ASCII)

OPTIONS = (
    Option(
        "paths",
        nargs="+",
        type=place,
        metavar="RUN",
        help="a bundle, a cell.json, a published cell, a file of another harness, a folder, or "
        "postgresql://HOST/DATABASE",
    ),
    OneOf(
        Option("-o", "--output", type=Path, metavar="SITE", help="folder of the site"),
        Option("--single", type=Path, metavar="FILE", help="write one cell as one file"),
        required=True,
    ),
    Option(
        "--base-url",
        default=None,
        metavar="URL",
        help="where the site will be, for the badges that pages offer to embed",
    ),
    MESSAGES_OPTION,
)


def run(args: argparse.Namespace) -> int:
    """Write what the arguments ask for; return the exit code.

    Raises:
        AdapterError: The folder holds something else than a site, or options contradict one another.
        BadRecord: The only cell cannot be read, or a path has no cells.
    """
    if args.base_url is not None and not _URL.fullmatch(args.base_url):
        raise AdapterError(
            f"--base-url {args.base_url} is not a URL that begins with http(s)://, without ? and #"
        )
    with opened_runs(args.paths) as opened:
        args.paths = [each.path for each in opened]
        if args.single is not None:
            return _single(args.paths, args.single, with_messages=args.messages)
        return _site(args, partial(said, opened))


def _single(paths: list[Path], file: Path, *, with_messages: bool) -> int:
    cells = [cell for path in paths for cell in find_cells(path)]
    if len(cells) != 1:
        raise AdapterError(f"--single writes one cell, and there are {len(cells)}")
    write_single(score_one(cells[0]), file, with_messages=with_messages)
    if not with_messages:
        say_what_is_not_shown(cells)
    print(file)
    return 0


def _site(args: argparse.Namespace, shown: Callable[[str], str]) -> int:
    for path in args.paths:
        _require_cells(path)
    errors: list[ScoringError] = []

    def report(error: ScoringError) -> None:
        errors.append(error)
        complain(shown(str(error)))

    base_url = f"{args.base_url.rstrip('/')}/" if args.base_url else ""
    with counted_progress("cells", _count(args.paths), sys.stderr) as on_cell:
        builder = SiteBuilder(
            args.output,
            base_url=base_url,
            on_error=report,
            on_cell=on_cell,
            with_messages=args.messages,
        )
        made = builder.build(args.paths)
    cells = f"{counted(made.cells, 'cell')}, {counted(made.rendered, 'page')} rendered, {made.removed:,} removed"
    print(cells, file=sys.stderr)
    if not args.messages:
        say_what_is_not_shown(_cells(args.paths))
    print(args.output / "index.html")
    return 2 if errors else 0


def _require_cells(path: Path) -> None:
    """Refuse a wrong path before a site is touched: it would lose the pages of all cells that are not there."""
    if not path.exists():
        raise BadRecord(str(path), None, "No such file or directory")
    next(find_cells(path))


def _cells(paths: list[Path]) -> Iterator[Path]:
    with suppress(ScoringError):  # it was reported when the cells were read
        for path in paths:
            yield from find_cells(path)


def _count(paths: list[Path]) -> int | None:
    """Return how many bundles and files there are; None where nobody would see it."""
    if not sys.stderr.isatty():
        return None
    try:
        return sum(1 for path in paths for _ in find_cells(path))
    except ScoringError:
        return None  # it is reported when the cells are read
