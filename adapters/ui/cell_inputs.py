"""Cells for aggregates and comparisons: read from runs. A bad cell is reported, and the others count."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

from cab.adapters.ui.command import Option
from cab.adapters.ui.progress import complain, progress
from cab.scoring.analysis.estimates import Settings
from cab.scoring.analysis.observation import Observation
from cab.scoring.analysis.observe import observe
from cab.scoring.errors import BadRecord, ScoringError
from cab.scoring.printable import counted
from cab.scoring.profiles.builtin import DEFAULT_PROFILE, PROFILES, find_profile
from cab.scoring.profiles.files import read_profile
from cab.scoring.profiles.model import Profile
from cab.scoring.score import ScoredCell, score_cells

if TYPE_CHECKING:
    from cab.scoring.imports import Note

EXIT_CODES = """\
exit codes: 0 done, 2 wrong usage, or a cell that cannot be read (the others
count)"""


def scored_cells(
    paths: Iterable[Path], profile: str | Profile, on_error: Callable[[ScoringError], None]
) -> Iterator[ScoredCell]:
    """Yield the cells below some paths; what cannot be read is reported, and the others come.

    A row that cannot be read is a cell that cannot. A value that is lost, or a copy, is only said.
    """

    def report(note: "Note") -> None:
        if note.row_lost:
            on_error(BadRecord(note.path, note.line, note.text))
        else:
            complain(str(note))

    for path in paths:
        try:
            yield from score_cells(path, profile, on_error, report)
        except ScoringError as error:
            on_error(error)


def unsealed_text(cells: int) -> str:
    """Return a sentence about cells without a seal."""
    have = counted(cells, "cell has", "cells have")
    return f"not checked: {have} no seal that says which calls are the cell's"


class CellReader:
    """Reads cells, and notes whether one could not be read.

    Args:
        profile: What composites are made with.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self.exit_code = 0
        self.unsealed = 0
        """Bundles without a seal."""

    def all_cells(self, paths: Iterable[Path]) -> list[Observation]:
        """Return the cells below some paths, as `cells` does; a terminal shows the progress."""
        with progress("reading cells", sys.stderr):
            return list(self.cells(paths))

    def cells(self, paths: Iterable[Path]) -> Iterator[Observation]:
        """Yield the cells below some paths; each once, also where two paths or a copy hold it."""
        for scored in self.scored(paths):
            yield observe(scored.as_dict())

    def scored(self, paths: Iterable[Path]) -> Iterator[ScoredCell]:
        """Yield the same as scored cells."""
        seen: set[tuple[object, ...]] = set()
        for scored in scored_cells(paths, self._profile, self._report):
            run = run_identity(scored)
            if run not in seen:
                seen.add(run)
                self.unsealed += bool(scored.not_checked)
                yield scored

    def _report(self, error: ScoringError) -> None:
        self.exit_code = 2
        complain(str(error))


def run_identity(scored: ScoredCell) -> tuple[object, ...]:
    """Return what identifies a run: a copied bundle is not a second run of its cell."""
    if scored.run_id is not None:
        return scored.run_id
    if scored.cell is None:
        name = None if scored.imported is None else scored.imported.origin.name
        return scored.path.resolve(), scored.cell_id, name
    timing = scored.cell.timing  # to the microsecond
    return scored.cell_id, timing.started_at, timing.ended_at, timing.duration_ms


def profile_of(name: str) -> Profile:
    """Return the profile of a name, or of a file `*.toml`.

    Raises:
        UnknownProfile: There is no such profile.
        BadRecord: The file cannot be used.
    """
    return read_profile(Path(name)) if name.endswith(".toml") else find_profile(name)


def settings_of(args: argparse.Namespace) -> Settings:
    """Return what the options `STATISTICS` say."""
    return Settings(args.confidence, args.min_coverage, args.seed)


def share(text: str) -> float:
    """Return a number between 0 and 1, both excluded, for argparse."""
    number = _number(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share between 0 and 1, both excluded")
    return number


def _coverage(text: str) -> float:
    number = _number(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share from 0 to 1")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return nan


_DEFAULTS = Settings()

STATISTICS = (
    Option(
        "--confidence",
        type=share,
        default=_DEFAULTS.confidence,
        metavar="SHARE",
        help="confidence of the intervals, between 0 and 1",
    ),
    Option(
        "--min-coverage",
        type=_coverage,
        default=_DEFAULTS.min_coverage,
        metavar="SHARE",
        help="share of the cells that must be known before a mean or a quantile is shown",
    ),
    Option(
        "--seed",
        type=int,
        default=_DEFAULTS.seed,
        metavar="N",
        help="seed of random draws; the same seed gives the same output",
    ),
)
"""Options of estimates with an uncertainty."""

PROFILE = Option(
    "--profile",
    default=DEFAULT_PROFILE,
    metavar="NAME|FILE",
    help=f"how axes become one number, the composite: {', '.join(PROFILES)}, or a file *.toml",
)
