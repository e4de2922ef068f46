"""Agents x models x tasks: a mark for each run, which leads to its cell."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from cab.adapters.report.placed import PlacedCell, values_of

_MOST_MARKS = 4000
"""More cells than this are counts in the matrix, not marks: a page stays a page."""
_MOST_COLUMNS = 12
"""Of tasks; more tasks are rows, so that the table grows downward."""

_MOST_ROWS = 30


class MatrixField(NamedTuple):
    """Runs of one agent and model on one task."""

    runs: Sequence[PlacedCell]
    """To be shown as marks; empty if they are too many, or there are none."""
    missing: int
    """Runs that others have, and this one has not."""
    counts: str
    """`3 of 4`, to be shown in place of marks."""


class MatrixRow(NamedTuple):
    """A row with its sums."""

    title: str
    fields: Sequence[MatrixField]
    passed: str
    coverage: str
    """Of how many of its cells the tokens are known."""


class MatrixGroup(NamedTuple):
    """Rows with a title in common."""

    title: str
    rows: Sequence[MatrixRow]


class RunMatrix(NamedTuple):
    """The table."""

    corner: str
    columns: Sequence[tuple[str, str]]
    """Title of each, in two parts."""
    groups: Sequence[MatrixGroup]
    foot: Sequence[str]
    """Passed runs of each column, and of all."""
    coverage: str
    has_marks: bool
    """Whether runs are marks; of very many there are counts alone."""

    @property
    def is_tall(self) -> bool:
        """Whether it scrolls by itself, so that what follows is not far away."""
        return sum(len(group.rows) for group in self.groups) > _MOST_ROWS


def matrix(cells: Sequence[PlacedCell]) -> RunMatrix:
    """Return the table: tasks are columns if they are few, else rows."""
    tasks = values_of(cells, "task")
    pairs = sorted({(cell.model, cell.tui) for cell in cells})
    runs: defaultdict[tuple[str, str, str], list[PlacedCell]] = defaultdict(list)
    by_task: defaultdict[str, list[PlacedCell]] = defaultdict(list)
    by_pair: defaultdict[tuple[str, str], list[PlacedCell]] = defaultdict(list)
    for cell in cells:
        runs[cell.model, cell.tui, cell.task].append(cell)
        by_task[cell.task].append(cell)
        by_pair[cell.model, cell.tui].append(cell)
    most = max(map(len, runs.values()), default=0)
    as_marks = len(cells) <= _MOST_MARKS

    def field(model: str, tui: str, task: str) -> MatrixField:
        here = runs.get((model, tui, task), [])
        count = counted(here) if here else "–"
        return MatrixField(here if as_marks else [], (most - len(here)) if as_marks else 0, count)

    if len(tasks) <= _MOST_COLUMNS:
        groups = [
            MatrixGroup(
                model,
                [
                    _row(tui, [field(model, tui, task) for task in tasks], by_pair[model, tui])
                    for of_model, tui in pairs
                    if of_model == model
                ],
            )
            for model in values_of(cells, "model")
        ]
        columns = [_split(task) for task in tasks]
        below = [by_task[task] for task in tasks]
        return RunMatrix(
            "agent", columns, groups, _foot(below, cells), known_share(cells), as_marks
        )
    groups = [
        MatrixGroup(
            family,
            [
                _row(task, [field(*pair, task) for pair in pairs], by_task[task])
                for task in tasks
                if task.partition("/")[0] == family
            ],
        )
        for family in sorted({task.partition("/")[0] for task in tasks})
    ]
    below = [by_pair[pair] for pair in pairs]
    columns = [(tui, model) for model, tui in pairs]
    return RunMatrix("task", columns, groups, _foot(below, cells), known_share(cells), as_marks)


def _row(title: str, fields: Sequence[MatrixField], cells: Sequence[PlacedCell]) -> MatrixRow:
    return MatrixRow(title, fields, counted(cells), known_share(cells))


def _foot(columns: Sequence[Sequence[PlacedCell]], cells: Sequence[PlacedCell]) -> list[str]:
    return [*map(counted, columns), counted(cells)]


def counted(cells: Sequence[PlacedCell]) -> str:
    """Return how many cells passed, of those that say something of the agent."""
    decided = [cell for cell in cells if cell.kind != "uncounted"]
    return f"{sum(cell.kind == 'passed' for cell in decided):,} of {len(decided):,}"


def known_share(cells: Sequence[PlacedCell]) -> str:
    """Return of how many cells all tokens are known, such as `90 %`."""
    known = sum(cell.seen.total_tokens is not None for cell in cells)
    if known == len(cells):
        return "all"
    return f"{known:,} of {len(cells):,}"


def _split(task: str) -> tuple[str, str]:
    family, _, name = task.partition("/")
    return f"{family}/", name
