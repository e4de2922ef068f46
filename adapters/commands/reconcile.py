"""`cab reconcile`: the agents' own token counts against the measured ones."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from cab.adapters.ui.cell_inputs import EXIT_CODES, CellReader
from cab.adapters.ui.command import OneOf, Option
from cab.adapters.ui.layout import Column
from cab.adapters.ui.options import FORMS, by
from cab.adapters.ui.tables import ResultTable, write
from cab.scoring.analysis.aggregate import PARTS
from cab.scoring.analysis.reconcile import (
    COUNTS,
    CellReconciliation,
    Reconciliation,
    reconcile,
    reconcile_cell,
)
from cab.scoring.profiles.builtin import DEFAULT_PROFILE, find_profile

DESCRIPTION = """\
Compare the token counts that agents report themselves with the measured ones,
per agent or per cell, and print how far off they are. The measured count is the
reference; the two are never mixed. An agent that reports no count, or a cell
that was not metered, is listed as such and not as an error of 0.
"""
EPILOG = f"""\
{EXIT_CODES}

examples:
  cab reconcile runs
  cab reconcile runs --by tui --by model --markdown
  cab reconcile runs --cells --csv
"""
_GROUPS = (
    Column("counter", "text"),
    Column("count", "name"),
    Column("cells", rank=5),
    Column("compared", rank=3),
    Column("equal", rank=4),
    Column("own count", unit="tokens"),
    Column("metered", unit="tokens"),
    Column("error", unit="%"),
    Column("mean size of error", unit="tokens", rank=2),
    Column("worst error", unit="%", rank=3),
    Column("source", "text", rank=1),
)
_CELLS = (
    Column("cell", "path", least=28),
    Column("count", "name"),
    Column("own count", unit="tokens"),
    Column("metered", unit="tokens"),
    Column("error", unit="tokens", rank=2),
    Column("relative error", unit="%"),
    Column("source", "text", rank=1),
)

OPTIONS = (
    Option(
        "paths",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="bundles, files of other harnesses that cab score reads, or folders of them",
    ),
    OneOf(
        by(PARTS, "what makes a group (tui); may be repeated")(action="append"),
        Option("--cells", action="store_true", help="print a line per cell, and no groups"),
    ),
    FORMS,
)


def run(args: argparse.Namespace) -> int:
    """Reconcile what the arguments name; return the exit code."""
    observer = CellReader(find_profile(DEFAULT_PROFILE))
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
    return ResultTable(_GROUPS, rows)


def _group_row(group: Reconciliation, name: str) -> tuple[str, ...]:
    found = group.counts[name]
    compared = bool(found.compared)
    return (
        ", ".join(group.key.values()),
        name.removesuffix("_tokens"),
        str(group.cells),
        str(found.compared),
        str(found.equal) if compared else "none",
        *("none" if total is None else f"{total:,}" for total in (found.reported, found.measured)),
        _percent(found.relative_error),
        _tokens(found.mean_absolute_error.value),
        _percent(found.worst_relative_error),
        _source(group),
    )


def _source(group: Reconciliation) -> str:
    if not group.sources:
        return "gives no count"
    note = "" if group.exact else ", not exact"
    return f"{', '.join(group.sources)}{note}"


def _cell_sheet(cells: Sequence[CellReconciliation]) -> ResultTable:
    rows = [_cell_row(cell, name) for cell in cells for name in COUNTS]
    return ResultTable(_CELLS, rows)


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
    return "none" if part is None else f"{100 * part:+z,.2f}"


def _tokens(tokens: float | None) -> str:
    return "none" if tokens is None else f"{tokens:,.1f}"
