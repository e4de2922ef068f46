"""The agents' own counts against the meter's: how wrong is each CLI's own counter?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from cab.scoring.analysis.aggregate import Part, grouped
from cab.scoring.analysis.estimates import Figure, Settings, mean_estimate
from cab.scoring.analysis.observation import Observation
from cab.scoring.introspection.field_texts import with_field_texts

Count = Literal["prompt_tokens", "completion_tokens", "total_tokens"]
"""What both count."""
COUNTS: tuple[Count, ...] = get_args(Count)
"""All of it."""


@with_field_texts
@dataclass(frozen=True, slots=True)
class Discrepancy:
    """One count of one cell, by both."""

    reported: int | None
    """By the agent; None if it gives none."""
    measured: int | None
    """By the meter; None if it is not known."""

    @property
    def error(self) -> int | None:
        """Reported - measured, in tokens; None unless both are known."""
        if self.reported is None or self.measured is None:
            return None
        return self.reported - self.measured

    @property
    def relative_error(self) -> float | None:
        """The error over what was measured; None where that is 0."""
        return None if self.error is None or not self.measured else self.error / self.measured


@with_field_texts
@dataclass(frozen=True, slots=True)
class CellReconciliation:
    """One cell, count by count."""

    cell_id: str
    """Its id."""
    source: str | None
    """Where the agent says so; None if it does not."""
    exact: bool | None
    """False where it prints rounded figures, or leaves calls out; None if it prints none."""
    counts: dict[str, Discrepancy]
    """`prompt_tokens`, `completion_tokens`, `total_tokens`."""

    def as_dict(self) -> dict[str, object]:
        """Return the cell as JSON, with the errors."""
        return {
            "cell_id": self.cell_id,
            "source": self.source,
            "exact": self.exact,
            **{name: _as_dict(count) for name, count in self.counts.items()},
        }


@with_field_texts
@dataclass(frozen=True, slots=True)
class CounterError:
    """How wrong one count of a group's own counter is."""

    compared: int
    """Cells in which both count."""
    equal: int
    """Cells in which they come to the same number."""
    reported: int | None
    """Sum of the agents' counts over the cells compared; None if there are none."""
    measured: int | None
    """Sum of the meter's over the same cells; None if there are none."""
    relative_error: float | None
    """(reported - measured) / measured, of these sums; None where nothing was measured."""
    mean_error: Figure
    """Mean of reported - measured per cell, in tokens; below 0 the agent counts too little."""
    mean_absolute_error: Figure
    """Mean of its size, in tokens: errors of both signs do not cancel."""
    worst_relative_error: float | None
    """Of all cells the one farthest off, with its sign."""


@with_field_texts
@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A group of cells: who reports what, and how wrong it is."""

    key: dict[str, str]
    """Part -> its value in this group."""
    cells: int
    """All cells of the group."""
    reporting: int
    """Cells in which the agent gives a count of its own."""
    metered: int
    """Cells whose total is known to the meter."""
    sources: dict[str, int]
    """Where the agent says so -> cells."""
    exact: bool | None
    """Whether all counts are exact; None if there are none."""
    counts: dict[str, CounterError]
    """`prompt_tokens`, `completion_tokens`, `total_tokens`."""


def reconcile_cell(cell: Observation) -> CellReconciliation:
    """Return the two counts of one cell side by side; they are never mixed."""
    own = cell.self_count
    return CellReconciliation(
        cell_id=str(cell.cell),
        source=None if own is None else own.source,
        exact=None if own is None else own.exact,
        counts={
            name: Discrepancy(None if own is None else getattr(own, name), getattr(cell, name))
            for name in COUNTS
        },
    )


def reconcile(
    cells: Iterable[Observation], by: Sequence[Part] = ("tui",), settings: Settings | None = None
) -> list[Reconciliation]:
    """Return how wrong the counters of each group are, in the order of the groups' names.

    Cells that the infrastructure failed are compared like all others: both sides counted.

    Args:
        cells: In any order.
        by: What makes a group.
        settings: Of the intervals; the coverage does not matter here, it is in `compared`.
    """
    shared = settings or Settings()
    return [_reconcile(key, group, shared) for key, group in grouped(cells, by)]


def _reconcile(key: dict[str, str], cells: list[Observation], settings: Settings) -> Reconciliation:
    owns = [cell.self_count for cell in cells if cell.self_count is not None]
    sources = [own.source for own in owns]
    return Reconciliation(
        key=key,
        cells=len(cells),
        reporting=len(owns),
        metered=sum(cell.total_tokens is not None for cell in cells),
        sources={source: sources.count(source) for source in sorted(set(sources))},
        exact=all(own.exact for own in owns) if owns else None,
        counts={name: _counter_error(cells, name, settings) for name in COUNTS},
    )


def _counter_error(cells: list[Observation], name: Count, settings: Settings) -> CounterError:
    errors: list[tuple[str, int]] = []
    relative: list[float] = []
    reported = measured = 0
    for cell in cells:
        count = reconcile_cell(cell).counts[name]
        if count.reported is None or count.measured is None:
            continue
        reported += count.reported
        measured += count.measured
        errors.append((cell.cell.task_id, count.reported - count.measured))
        if count.relative_error is not None:
            relative.append(count.relative_error)
    return CounterError(
        compared=len(errors),
        equal=sum(not error for _, error in errors),
        reported=reported if errors else None,
        measured=measured if errors else None,
        relative_error=(reported - measured) / measured if measured else None,
        mean_error=mean_estimate(errors, settings),
        mean_absolute_error=mean_estimate([(task, abs(error)) for task, error in errors], settings),
        # Of two that are as far off the higher one is named, so that the order does not matter.
        worst_relative_error=max(relative, key=lambda error: (abs(error), error), default=None),
    )


def _as_dict(count: Discrepancy) -> dict[str, object]:
    return {
        "reported": count.reported,
        "measured": count.measured,
        "error": count.error,
        "relative_error": count.relative_error,
    }
