"""Agents and models in numbers: each figure of a group with its interval and its mark."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from cab.adapters.report.overview.charts import share_interval
from cab.adapters.report.placed import PlacedCell, sum_mark
from cab.adapters.report.render.marks import Mark, MarkedText, weakest
from cab.adapters.report.render.numbers import duration, integer, percent, ratio
from cab.scoring.analysis.aggregate import Aggregate, aggregate
from cab.scoring.analysis.estimates import NO_CELLS, Figure
from cab.scoring.ledger.money import dollars


class GroupField(NamedTuple):
    """A number of a group."""

    shown: MarkedText | str
    """Shares of cells have no mark: it is the check's verdicts that are counted."""
    value: float | None
    """To sort by."""
    note: str = ""
    """Behind it: its interval."""


class GroupRow(NamedTuple):
    """An agent with a model."""

    tui: str
    model: str
    found: Aggregate
    passed: str
    interval: Markup
    fields: Sequence[GroupField]
    token_mark: Mark

    @property
    def name(self) -> str:
        """Both, as charts name them."""
        return f"{self.tui} × {self.model}"


class GroupTable(NamedTuple):
    """All groups."""

    titles: Sequence[str]
    """Of the fields behind the pass rate."""
    rows: Sequence[GroupRow]
    k: int | None
    """Number of runs of `all runs`; None if no cell was run more than once."""


def group_table(cells: Sequence[PlacedCell]) -> GroupTable:
    """Return the table of agents x models."""
    k = usual_runs(cells)
    groups = aggregate(
        (cell.seen for cell in cells), ("tui", "model"), ks=() if k is None else (k,)
    )
    own: dict[tuple[str, str], list[PlacedCell]] = {}
    for cell in cells:
        own.setdefault((cell.tui, cell.model), []).append(cell)
    rows = [_row(group, own[group.key["tui"], group.key["model"]]) for group in groups]
    all_runs = () if k is None else (f"all {k} runs",)
    titles = (
        *("pass rate", "by task", *all_runs, "tokens per solved task", "tokens per cell"),
        *("$ per solved task", "calls per cell", "median wall", "composite"),
    )
    return GroupTable(titles, rows, k)


def usual_runs(cells: Sequence[PlacedCell]) -> int | None:
    """Return how often most agents, models and tasks were run; None if that is once."""
    runs = Counter((cell.tui, cell.model, cell.task) for cell in cells if cell.kind != "uncounted")
    times = Counter(runs.values())
    usual = max(times, key=lambda number: (times[number], number), default=1)
    return usual if usual > 1 else None


def _row(group: Aggregate, cells: Sequence[PlacedCell]) -> GroupRow:
    tokens = sum_mark(cells)
    cost = weakest(cell.cost_mark for cell in cells)
    clock = weakest(cell.clock_mark for cell in cells)
    composite = weakest(cell.composite_mark for cell in cells)
    rate, decided = group.pass_rate, group.passed + group.failed
    solved = _of(group.tokens_per_correct, integer, tokens)
    fields = (
        _share(rate),
        _share(group.pass_rate_task_weighted),
        *(_share(each.pass_hat_k) for each in group.of_k),
        _with_known(solved, group, cells),
        _of(group.tokens_per_cell, integer, tokens),
        _of(group.cost_usd_per_pass, dollars, cost),
        _of(group.calls_per_cell, lambda value: ratio(value, 1), "measured"),
        _of(group.wall_clock_ms_median, duration, clock),
        _of(group.composite, ratio, composite),
    )
    return GroupRow(
        group.key["tui"],
        group.key["model"],
        group,
        f"{group.passed:,} of {decided:,}",
        share_interval(rate.value, rate.low, rate.high),
        fields,
        tokens,
    )


def _share(found: Figure) -> GroupField:
    return GroupField(percent(found.value) or MarkedText(None, missing=why(found)), found.value)


def _of(found: Figure, text: Callable[[float | None], str | None], mark: Mark) -> GroupField:
    return GroupField(MarkedText(text(found.value), mark, missing=why(found)), found.value)


def _with_known(solved: GroupField, group: Aggregate, cells: Sequence[PlacedCell]) -> GroupField:
    """Return the tokens per solved task; at least those that are known, where some are not."""
    found = group.tokens_per_correct
    if found.value is not None:
        low, high = integer(found.low), integer(found.high)
        return solved._replace(note=f"{low} to {high}" if low and high else "")
    known = sum(cell.known_tokens or 0 for cell in cells)
    if not known or not group.passed:
        return solved
    per_pass = known / group.passed
    return GroupField(MarkedText(integer(per_pass), "at least", why(found)), None)


def why(found: Figure) -> str:
    """Return the words that stand in the place of an estimate that has no value."""
    if found.coverage == 0:
        return "not recorded"
    if found.coverage is not None and found.coverage < 1 and found.value is None:
        digits = 0 if found.coverage < 0.99 else 1
        return f"known of {percent(min(found.coverage, 0.999), digits)}"
    if found.reason == NO_CELLS.reason:
        return "no run counts"
    return found.reason or "not recorded"
