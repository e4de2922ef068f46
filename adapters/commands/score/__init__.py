"""`cab score`: scores bundles and published cells again, offline."""

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from rich.console import Console

from cab.adapters.commands.score import groups, reprice
from cab.adapters.commands.score.sheets import write_cells
from cab.adapters.errors import AdapterError
from cab.adapters.output.whole_file import write_whole
from cab.adapters.ui.cell_inputs import PROFILE, profile_of, scored_cells, unsealed_text
from cab.adapters.ui.cell_table import (
    Summary,
    score_table,
    summary_of,
    summary_table,
    wide_console,
)
from cab.adapters.ui.command import OneOf, Option
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.options import TABLE_FORMS, form
from cab.adapters.ui.place import DatabaseUrl, OpenedPlace, opened_runs, place, said
from cab.adapters.ui.progress import complain, progress
from cab.adapters.ui.tables import write
from cab.scoring import (
    Cell,
    Composite,
    Profile,
    ScoredCell,
    ScoringError,
    dump_cell,
    explain,
)
from cab.scoring.cells.bundle import CELL_FILE
from cab.scoring.prices.reprice import Repricing
from cab.scoring.printable import printable

DESCRIPTION = """\
Score cells again from their bundles, without a network, and check that the
result is the stored cell.json, byte for byte. A published cell is scored from
the axes on its page. Files of other harnesses (Harbor, Terminal-Bench, aider,
mini-swe-agent, SWE-agent, SWE-bench, Inspect, OpenHands, HAL) are recognised by
their content; their counts are self-reported, and what they did not measure
stays unknown. With --by, groups of cells are summed up instead.
"""
EPILOG = """\
exit codes: 0 every stored score is confirmed, 1 one differs, 2 a cell cannot be read,
3 confirmed, but a bundle has no seal that says which calls are the cell's

Signatures are checked by cab ledger verify PATH --public-key FILE.

examples:
  cab score runs/local/aider/gpt-5/polyglot/python-error-handling
  cab score runs --json | jq '[.cell_id, .composite, .tokens.total_tokens]'
  cab score runs --explain                   the sum that makes each composite
  cab score runs --profile mine.toml         a profile as in docs/scoring.md
  cab score runs --reprice prices.toml       what the calls would have cost by that table
  cab score runs --by tui --by model --k 2   groups, with pass@2 and pass^2
  cab score runs --by model --reprice prices.toml   dollars per solved task by that table
"""

OPTIONS = (
    Option(
        "paths",
        nargs="+",
        type=place,
        metavar="PATH",
        help="a bundle, a cell.json, a published cell, a file of another harness, a folder, or "
        "postgresql://HOST/DATABASE",
    ),
    PROFILE,
    OneOf(*TABLE_FORMS, form("explain", "print the sum that makes each composite")),
    Option("--write", action="store_true", help="replace a bundle's cell.json if it differs"),
    reprice.OPTIONS,
    groups.OPTIONS,
)


def run(args: argparse.Namespace) -> int:
    """Score what the arguments name; return the exit code.

    Raises:
        UnknownProfile: There is no such profile.
        BadRecord: The file of a profile cannot be used.
        AdapterError: Options contradict one another.
        CabProxyError: A database cannot be read.
    """
    if args.write and any(isinstance(path, DatabaseUrl) for path in args.paths):
        raise AdapterError("--write replaces files; it cannot change a database")
    with opened_runs(args.paths) as opened:
        args.paths = [each.path for each in opened]
        return _run(args, opened)


def _run(args: argparse.Namespace, opened: list[OpenedPlace]) -> int:
    profile, repricing = profile_of(args.profile), reprice.repricing_of(args)
    if args.by:
        return groups.run_groups(args, profile, repricing)
    command = _Score(profile, partial(said, opened), write=args.write)
    if args.form in {"markdown", "csv"}:
        write_cells(args.form, command.cells(args.paths), repricing, partial(said, opened))
    elif args.form == "json":
        for scored, _ in command.cells(args.paths):
            path = said(opened, str(scored.path))
            made = {**scored.as_dict(), "path": path}
            print_json({**made, **reprice.members(scored, repricing)})
    elif args.form == "explain":
        _print_sums(command, args.paths)
    else:
        _print_tables(command, args.paths, repricing)
    command.warn()
    return command.exit_code


class _Score:
    """One run of the command, and what it has found so far."""

    def __init__(self, profile: Profile, said: Callable[[str], str], *, write: bool) -> None:
        self._profile = profile
        self._said = said
        self._write = write
        self._failed = False
        self._differs = False
        self._unsealed = 0

    @property
    def exit_code(self) -> int:
        if self._failed:
            return 2
        if self._differs:
            return 1
        return 3 if self._unsealed else 0

    def warn(self) -> None:
        """Say how many cells have no seal."""
        if self._unsealed:
            complain(unsealed_text(self._unsealed))

    def cells(self, paths: list[Path]) -> Iterator[tuple[ScoredCell, str]]:
        """Yield each cell with how its stored score compares."""
        for scored in scored_cells(paths, self._profile, self._report):
            self._unsealed += bool(scored.not_checked)
            yield scored, self._verdict(scored)

    def _verdict(self, scored: ScoredCell) -> str:
        if scored.identical is None:
            return "nothing to compare with"
        if scored.identical:
            return "identical"
        if scored.cell is not None and self._write:
            return self._replace(scored.path / CELL_FILE, scored.cell)
        self._differs = True
        return "differs"

    def _replace(self, path: Path, cell: Cell) -> str:
        try:
            write_whole(path, dump_cell(cell))
        except OSError as error:
            self._failed = True
            complain(f"{path}: cannot be replaced: {error.strerror}")
            return "differs"
        return "replaced"

    def _report(self, error: ScoringError) -> None:
        self._failed = True
        complain(self._said(str(error)))


def _print_sums(command: _Score, paths: list[Path]) -> None:
    for number, (scored, _) in enumerate(command.cells(paths)):
        title = f"{printable(scored.cell_id)} under {scored.composite.profile}"
        sums = "\n".join(printable(line) for line in explain(scored.composite).splitlines())
        print("\n" * bool(number) + f"{title}\n\n{sums}")


def _print_tables(command: _Score, paths: list[Path], repricing: Repricing | None) -> None:
    first: tuple[ScoredCell, str] | None = None
    lines: list[Summary] = []
    costs: list[tuple[str, str]] = []
    with progress("scoring cells", sys.stderr):
        for scored, verdict in command.cells(paths):
            first = first or (scored, verdict)
            if repricing is not None:
                costs.append((scored.cell_id, reprice.sentence(scored, repricing)))
            lines.append(summary_of(scored.cell_id, scored.axes, _composites(scored), verdict))
    if first is None:
        return
    if len(lines) > 1:
        names = [made.profile for made in _composites(first[0])]
        write("table", summary_table(names, lines), [])
    else:
        _print_one(wide_console(), *first)
    for cell_id, text in costs:
        print(printable(f"{cell_id}: {text}" if len(costs) > 1 else text))


def _composites(scored: ScoredCell) -> list[Composite]:
    """Return the composites to show: the one that was asked for, and those that every cell has."""
    others = {**scored.profiles, scored.composite.profile: scored.composite}
    return list(others.values())


def _print_one(console: Console, scored: ScoredCell, verdict: str) -> None:
    composites, report = _composites(scored), scored.self_reported
    console.print(score_table(scored.cell_id, scored.axes, composites, report))
    if scored.imported is not None:
        console.print(f"self-reported: {scored.imported.origin.form}", highlight=False)
        return
    for text in scored.checked:
        console.print(f"checked: {text}", highlight=False)
    for text in scored.not_checked:
        console.print(f"not checked: {text}", highlight=False)
    stored = "composite of the page" if scored.cell is None else CELL_FILE
    console.print(f"{stored}: {verdict}", highlight=False)
