"""`cab reconcile`: the agents' own counts against the meter's."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cab.adapters.ui.cell_inputs import EXIT_CODES, Observer
from cab.adapters.ui.tables import ResultTable, add_forms, write
from cab.scoring.analysis.aggregate import PARTS
from cab.scoring.analysis.reconcile import (
    COUNTS,
    CellReconciliation,
    Reconciliation,
    reconcile,
    reconcile_cell,
)
from cab.scoring.profiles.builtin import DEFAULT_PROFILE, find_profile

if TYPE_CHECKING:
    # argparse has no public name for what add_subparsers returns
    from argparse import _SubParsersAction  # pyright: ignore[reportPrivateUsage]

DESCRIPTION = """\
Say how wrong each agent's own token counter is: its count against the meter's,
per agent or per cell. The meter's count is the reference; the two are never
mixed. An agent that gives no count of its own, or a cell that was not metered,
is told and not taken for an error of 0.
"""
EPILOG = f"""\
{EXIT_CODES}

examples:
  cab reconcile runs
  cab reconcile runs --by tui --by model --markdown
  cab reconcile runs --cells --csv
"""
_GROUPS = (
    "counter", "count", "cells", "compared", "equal", "its own", "metered", "error",
    "mean size of error", "worst", "source",
)  # fmt: skip
_CELLS = ("cell", "count", "its own", "metered", "error", "relative", "source")


def add(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser of `cab`."""
    parser = subparsers.add_parser(
        "reconcile",
        help="how wrong agents count themselves",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="bundles, what cab score reads of other harnesses, or folders of them",
    )
    groups = parser.add_mutually_exclusive_group()
    groups.add_argument(
        "--by",
        choices=PARTS,
        action="append",
        metavar="PART",
        help=f"what makes a group: {', '.join(PARTS)} (default: tui); may be repeated",
    )
    groups.add_argument("--cells", action="store_true", help="a line per cell, and no groups")
    add_forms(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Reconcile what the arguments name; return the exit code."""
    observer = Observer(find_profile(DEFAULT_PROFILE))
    cells = observer.all_cells(args.paths)
    if args.cells:
        each = [reconcile_cell(cell) for cell in cells]
        write(args.form, _cell_sheet(each), [one.as_dict() for one in each])
    else:
        groups = reconcile(cells, tuple(dict.fromkeys(args.by or ["tui"])))
        write(args.form, _group_sheet(groups), groups)
    return observer.exit_code


def _group_sheet(groups: Sequence[Reconciliation]) -> ResultTable:
    rows = [_group_row(group, name) for group in groups for name in COUNTS]
    return ResultTable(_GROUPS, rows, texts=2)


def _group_row(group: Reconciliation, name: str) -> tuple[str, ...]:
    found = group.counts[name]
    compared = bool(found.compared)
    return (
        ", ".join(group.key.values()),
        name.removesuffix("_tokens"),
        str(group.cells),
        str(found.compared),
        str(found.equal) if compared else "none",
        f"{found.reported:,}" if compared else "none",
        f"{found.measured:,}" if compared else "none",
        _percent(found.relative_error),
        _tokens(found.mean_absolute_error.value),
        _percent(found.worst_relative_error),
        _source(group),
    )


def _source(group: Reconciliation) -> str:
    if not group.sources:
        return "gives no count"
    rounded = "" if group.exact else ", rounded"
    return f"{', '.join(group.sources)}{rounded}"


def _cell_sheet(cells: Sequence[CellReconciliation]) -> ResultTable:
    rows = [_cell_row(cell, name) for cell in cells for name in COUNTS]
    return ResultTable(_CELLS, rows, texts=2)


def _cell_row(cell: CellReconciliation, name: str) -> tuple[str, ...]:
    found = cell.counts[name]
    return (
        cell.cell_id,
        name.removesuffix("_tokens"),
        "none" if found.reported is None else f"{found.reported:,}",
        "not measured" if found.measured is None else f"{found.measured:,}",
        "none" if found.error is None else f"{found.error:+,}",
        _percent(found.relative_error),
        "gives no count" if cell.source is None else cell.source,
    )


def _percent(part: float | None) -> str:
    return "none" if part is None else f"{part:+.2%}"


def _tokens(tokens: float | None) -> str:
    return "none" if tokens is None else f"{tokens:,.1f}"
