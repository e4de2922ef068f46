"""`cab score --by`: cells in groups, with coverage and uncertainty on every figure."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cab.adapters.commands.score.reprice import observed
from cab.adapters.errors import AdapterError
from cab.adapters.ui.cell_inputs import STATISTICS, CellReader, settings_of, unsealed_text
from cab.adapters.ui.command import Option, OptionGroup
from cab.adapters.ui.format import (
    dollars_per_pass,
    figure_text,
    interval_text,
    money_text,
    seconds_text,
)
from cab.adapters.ui.layout import Column
from cab.adapters.ui.options import by
from cab.adapters.ui.progress import complain, progress
from cab.adapters.ui.tables import ResultTable, TableFormat, write
from cab.scoring.analysis.aggregate import PARTS, Aggregate, OfK, Part, aggregate
from cab.scoring.analysis.observation import NO_VERDICT, Observation
from cab.scoring.analysis.observe import observe
from cab.scoring.prices.reprice import Repricing
from cab.scoring.prices.sources import source_words
from cab.scoring.printable import printable
from cab.scoring.profiles.model import Profile

ALL = "all"
"""One group of all cells."""

_COLUMNS = (
    Column("group", "text", least=16),
    Column("cells", rank=1),
    Column("tasks", rank=6),
    Column("pass rate run-weighted", unit="%"),
    Column("pass rate task-weighted", unit="%", rank=4),
    Column("failed by infrastructure", "text", rank=7),
    Column("tokens per correct"),
    Column("cost per pass", unit="$", rank=2),
    Column("tokens per cell", rank=4),
    Column("calls per cell", rank=4),
    Column("median time", unit="s", rank=3),
    Column("p95 time", unit="s", rank=6),
)


_COST = next(n for n, column in enumerate(_COLUMNS) if column.unit == "$")


def run_groups(args: argparse.Namespace, profile: Profile, repricing: Repricing | None) -> int:
    """Print the groups that the arguments ask for; return the exit code.

    Args:
        args: The arguments.
        profile: What composites are made with.
        repricing: Other prices, by which each group is priced too; None if there are none.

    Raises:
        AdapterError: `--by` is given with an option about single cells.
        BadRecord: The calls of a cell cannot be read to be priced again.
    """
    form: TableFormat = args.form
    if args.write or args.form == "explain":
        raise AdapterError("--by is about groups; --write and --explain are about single cells")
    observer = CellReader(profile)
    by: list[Part] = [part for part in dict.fromkeys(args.by) if part in PARTS]
    ks = list(dict.fromkeys(args.k))
    settings = settings_of(args)
    if repricing is None:
        found, other = aggregate(observer.all_cells(args.paths), by, ks=ks, settings=settings), None
    else:
        cells, again = _twice(observer, args.paths, repricing)
        found = aggregate(cells, by, ks=ks, settings=settings)
        other = RepricedGroups(repricing.prices.source, aggregate(again, by, settings=settings))
    objects = [_as_dict(group, profile.name) for group in found]
    if other is not None:
        objects = [{**each, **more} for each, more in zip(objects, other.members(), strict=True)]
    write(form, _sheet(found, ks, profile.name, other), objects)
    if other is not None and form == "table":
        print(printable(f"repriced: by {source_words(other.source)}"))
    if observer.unsealed:
        complain(unsealed_text(observer.unsealed))
    return observer.exit_code or (3 if observer.unsealed else 0)


class RepricedGroups(NamedTuple):
    """The same groups by other prices."""

    source: str
    """Whose: as `price_source` of a call's record."""
    groups: Sequence[Aggregate]
    """In the same order."""

    def members(self) -> list[dict[str, object]]:
        """Return what each group has besides as JSON."""
        names = ("cost_usd_per_pass", "cost_usd_per_cell", "on_cost_front")
        return [
            {"repriced": {"price_source": self.source, **{n: getattr(group, n) for n in names}}}
            for group in self.groups
        ]


def _twice(
    reader: CellReader, paths: Sequence[Path], repricing: Repricing
) -> tuple[list[Observation], list[Observation]]:
    """Return the cells, and the same cells by other prices."""
    cells, again = list[Observation](), list[Observation]()
    with progress("reading cells", sys.stderr):
        for scored in reader.scored(paths):
            cells.append(observe(scored.as_dict()))
            again.append(observed(scored, repricing, cells[-1]))
    return cells, again


def _runs(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is not a number of runs, 1 or more")
    return int(text)


OPTIONS = OptionGroup(
    "groups of cells",
    by((*PARTS, ALL), "print a line per group, not per cell; may be repeated")(action="append"),
    Option(
        "--k",
        type=_runs,
        action="append",
        default=[],
        metavar="N",
        help="with --by: pass@N and pass^N; may be repeated",
    ),
    *STATISTICS,
    description="formulas: docs/statistics.md; stored scores are not compared then",
)


def _as_dict(group: Aggregate, profile: str) -> dict[str, object]:
    return {**{name: getattr(group, name) for name in Aggregate.__slots__}, "profile": profile}


def _sheet(
    groups: Sequence[Aggregate], ks: Sequence[int], profile: str, other: RepricedGroups | None
) -> ResultTable:
    of_k = [Column(name, unit="%", rank=2) for k in ks for name in (f"pass@{k}", f"pass^{k}")]
    columns = [*_COLUMNS, *of_k, Column(profile, rank=3), Column("on front of", "name", rank=8)]
    if all(group.cost_usd_per_pass.value is None for group in groups):
        columns[_COST] = columns[_COST]._replace(rank=9)
    rows = [_row(group) for group in groups]
    if other is not None:
        columns.insert(_COST + 1, Column("repriced per pass", unit="$", rank=1))
        for row, group in zip(rows, other.groups, strict=True):
            row.insert(_COST + 1, money_text(group.cost_usd_per_pass))
    return ResultTable(columns, rows)


def _row(group: Aggregate) -> list[str]:
    return [
        " ".join(group.key.values()) or ALL,
        str(group.cells),
        str(group.tasks),
        interval_text(group.pass_rate, 100, 1),
        interval_text(group.pass_rate_task_weighted, 100, 1),
        _infrastructure(group),
        interval_text(group.tokens_per_correct, 1, 0),
        dollars_per_pass(group),
        figure_text(group.tokens_per_cell, 1, 0),
        figure_text(group.calls_per_cell, 1, 1),
        seconds_text(group.wall_clock_ms_median),
        seconds_text(group.wall_clock_ms_p95),
        *(text for of_k in group.of_k for text in _of_k(of_k)),
        interval_text(group.composite, 1, 3),
        _fronts(group),
    ]


def _of_k(of_k: OfK) -> tuple[str, str]:
    return figure_text(of_k.pass_at_k, 100, 1), figure_text(of_k.pass_hat_k, 100, 1)


def _infrastructure(group: Aggregate) -> str:
    """Return how many cells failed by the infrastructure, and the pass rate that counts them."""
    unjudged = group.infrastructure.get(NO_VERDICT, 0)
    apart = f"; {unjudged} without verdict" if unjudged else ""
    failed = sum(group.infrastructure.values()) - unjudged
    if not failed:
        return f"0{apart}"
    rate = figure_text(group.pass_rate_with_infrastructure, 100, 1, "% with them")
    return f"{failed} ({rate}){apart}"


def _fronts(group: Aggregate) -> str:
    on = {"cost": group.on_cost_front, "tokens": group.on_token_front}
    return ", ".join(name for name, place in on.items() if place == "front") or "-"
