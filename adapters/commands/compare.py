"""`cab compare`: two agents, models, sweeps or folders of runs, on the tasks that both have."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from cab.adapters.errors import AdapterError, nearest
from cab.adapters.ui.cell_inputs import (
    EXIT_CODES,
    PROFILE,
    STATISTICS,
    CellReader,
    profile_of,
    settings_of,
    share,
)
from cab.adapters.ui.cell_table import print_sentence
from cab.adapters.ui.command import Option
from cab.adapters.ui.layout import Column
from cab.adapters.ui.options import FORMS, RUNS, by
from cab.adapters.ui.tables import ResultTable, write
from cab.scoring.analysis.aggregate import Part, part_of
from cab.scoring.analysis.compare import METRICS, Comparison, Metric, compare_all
from cab.scoring.analysis.observation import Observation
from cab.scoring.analysis.sentences import UNITS, bare_reading, sentence
from cab.scoring.stats.detectable import DEFAULT_POWER

DESCRIPTION = """\
Compare A with B on the tasks that both have, and say how large a difference
that many tasks can show.

A and B are paths: folders of runs, bundles or published cells. With --by they
are names of agents, models or sweeps among the cells under --runs. More than
two are compared in pairs.

Cells are paired by task, and by agent and model where both sides have one in
common. Several runs of a cell count as their mean: A - B is of these
task-weighted means. Beside them stand the run-weighted ones, in which each run
counts alike, as cab score has them. p is from sign flips of whole tasks, and
adjusted by Holm's method for all lines of the output. Cells without a verdict
on the agent are left out; their number is shown.
"""
EPILOG = f"""\
{EXIT_CODES}

examples:
  cab compare runs/january runs/february
  cab compare aider openhands --by tui --metric pass_rate --metric total_tokens
  cab compare model-a model-b --by model --runs january --runs february --csv

docs/statistics.md has the formulas.
"""
_COLUMNS = (
    Column("A", "path"),
    Column("B", "path"),
    Column("metric", "name"),
    Column("A task-weighted"),
    Column("B task-weighted"),
    Column("A run-weighted", rank=5),
    Column("B run-weighted", rank=5),
    Column("A - B"),
    Column("interval", rank=3),
    Column("p", rank=4),
    Column("p Holm", rank=2),
    Column("tasks", rank=1),
    Column("pairs", rank=6),
)

OPTIONS = (
    Option("sides", nargs="+", metavar="A B", help="paths, or names with --by"),
    by(("tui", "model", "sweep"), "what A and B are names of"),
    RUNS(
        action="append", default=None, help="with --by: where the cells are (runs); may be repeated"
    ),
    Option(
        "--metric",
        choices=METRICS,
        action="append",
        metavar="NAME",
        help=f"what to compare: {', '.join(METRICS)} (pass_rate); may be repeated",
    ),
    Option(
        "--power",
        type=share,
        default=DEFAULT_POWER,
        metavar="SHARE",
        help="chance of finding a difference of the size that is reported as visible",
    ),
    PROFILE,
    *STATISTICS,
    FORMS,
)

_Side = tuple[str, Sequence[Observation]]


def run(args: argparse.Namespace) -> int:
    """Compare what the arguments name; return the exit code.

    Raises:
        AdapterError: There are not two sides, or one has no cells.
        UnknownProfile: There is no such profile.
        BadRecord: The file of a profile cannot be used.
    """
    if len(args.sides) < 2:
        raise AdapterError(
            "compare needs two or more names: cab compare A B; see cab compare --help"
        )
    if args.runs and not args.by:
        raise AdapterError("--runs goes with --by; without it, A and B are paths themselves")
    observer = CellReader(profile_of(args.profile))
    metrics: list[Metric] = list(dict.fromkeys(args.metric or ["pass_rate"]))
    found = compare_all(
        _by_name(observer, args.sides, args.by, args.runs or [Path("runs")])
        if args.by
        else _by_path(observer, args.sides),
        metrics,
        settings=settings_of(args),
        power=args.power,
    )
    write(args.form, _sheet(found), [_as_dict(each) for each in found])
    if args.form in {"table", "markdown"}:
        _print_sentences(found)
    return observer.exit_code


def _by_path(observer: CellReader, paths: Sequence[str]) -> Sequence[_Side]:
    sides = [(path, observer.all_cells([Path(path)])) for path in paths]
    for name, cells in sides:
        if not cells:
            raise AdapterError(f"{name}: no cell to compare")
    return sides


def _by_name(
    observer: CellReader, names: Sequence[str], part: Part, runs: Sequence[Path]
) -> Sequence[_Side]:
    cells = observer.all_cells(runs)
    known = sorted({part_of(cell.cell, part) for cell in cells})
    for name in names:
        if name not in known:
            near = nearest(name, known)
            there = (
                f"did you mean {near!r}?" if near else f"there are: {', '.join(known) or 'none'}"
            )
            where = ", ".join(map(str, runs))
            raise AdapterError(f"no cell of {part} {name!r} under {where}; {there}")
    return [(name, [cell for cell in cells if part_of(cell.cell, part) == name]) for name in names]


def _sheet(found: Sequence[Comparison]) -> ResultTable:
    return ResultTable(_COLUMNS, [_row(each) for each in found])


def _row(found: Comparison) -> tuple[str, ...]:
    metric = found.metric
    unit = f", {UNITS[metric].unit}" if UNITS[metric].unit else ""
    ends = (bare_reading(metric, end, difference=True) for end in (found.low, found.high))
    return (
        found.a,
        found.b,
        f"{UNITS[metric].noun}{unit}",
        *(bare_reading(metric, mean) for mean in (found.task_weighted_a, found.task_weighted_b)),
        *(bare_reading(metric, mean) for mean in (found.run_weighted_a, found.run_weighted_b)),
        bare_reading(metric, found.difference, difference=True),
        "none" if found.low is None else " to ".join(ends),
        _p(found.p),
        _p(found.p_holm),
        str(found.tasks),
        str(found.pairs),
    )


def _p(p: float | None) -> str:
    return "none" if p is None else f"{p:.2g}"


def _as_dict(found: Comparison) -> dict[str, object]:
    values = {name: getattr(found, name) for name in Comparison.__slots__}
    return {**values, "sentence": sentence(found)}


def _print_sentences(found: Sequence[Comparison]) -> None:
    for each in found:
        left_out = _left_out(each)
        print()
        print_sentence(f"{sentence(each)}{f' {left_out}' if left_out else ''}")


def _left_out(found: Comparison) -> str:
    """Return what the comparison does not count; nothing where it counts all."""
    parts: list[str] = []
    if found.unpaired_a or found.unpaired_b:
        parts.append(f"without a counterpart {found.unpaired_a} of A and {found.unpaired_b} of B")
    if found.infrastructure_a or found.infrastructure_b:
        parts.append(
            "without a verdict on the agent "
            f"{found.infrastructure_a} of A and {found.infrastructure_b} of B"
        )
    return f"Cells left out: {'; '.join(parts)}." if parts else ""
