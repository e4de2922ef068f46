"""Aggregates: cells in groups, every estimate with its uncertainty and its coverage.

from cab.scoring.analysis.aggregate import aggregate
from cab.scoring.analysis.observe import observe

cells = map(observe, score_path(Path("runs"), "measured/1"))
for group in aggregate(cells, by=("tui", "model")):
    print(group.key, group.pass_rate, group.tokens_per_correct)
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from cab.scoring.analysis.estimates import (
    NO_CELLS,
    Figure,
    Settings,
    mean_estimate,
    mean_rate_estimate,
    per_correct_estimate,
    quantile_estimate,
    rate_estimate,
)
from cab.scoring.analysis.observation import NO_VERDICT, Observation
from cab.scoring.errors import BadObservation, TooFewRuns
from cab.scoring.ids import CellId
from cab.scoring.introspection.field_texts import with_field_texts
from cab.scoring.prices.sources import PriceKind, weakest_of
from cab.scoring.stats import Offer, pareto_front, pass_at_k, pass_hat_k

Part = Literal["sweep", "tui", "model", "family", "task"]
"""What cells can be grouped by."""
PARTS: tuple[Part, ...] = get_args(Part)
"""All of them, from the front of a cell id to its end."""

OnFront = Literal["front", "dominated", "unknown"]
"""Whether some other group is as good in both cost and pass rate, and better in one."""


@with_field_texts
@dataclass(frozen=True, slots=True)
class OfK:
    """pass@k and pass^k of a group: means over its tasks."""

    k: int
    """Number of runs."""
    pass_at_k: Figure
    """Chance that at least one of k runs passes."""
    pass_hat_k: Figure
    """Chance that all of k runs pass."""


@with_field_texts
@dataclass(frozen=True, slots=True)
class Aggregate:
    """A group of cells. All estimates but those per pass leave out cells that say nothing of the agent."""

    key: dict[str, str]
    """Part -> its value in this group."""
    cells: int
    """All cells of the group."""
    tasks: int
    """Different tasks among them."""
    passed: int
    """Cells that passed."""
    failed: int
    """Cells that the agent failed."""
    infrastructure: dict[str, int]
    """Why cells say nothing about the agent -> their number; `no_verdict` is not a failure."""
    stopped: int
    """Cells whose agent was stopped at its time limit."""
    pass_rate: Figure
    """Run-weighted: passed / (passed + failed), without the cells that the infrastructure failed."""
    pass_rate_task_weighted: Figure
    """Task-weighted: the mean over tasks of the share of their runs that passed, of the same cells. Runs
    of one agent and model on a task count as their mean, as `compare` has it."""
    pass_rate_with_infrastructure: Figure
    """With these cells, as not passed; without those of files that hold no verdicts."""
    tokens_per_correct: Figure
    """Tokens of all cells, failures of every kind included, per pass."""
    cost_usd_per_pass: Figure
    """US dollars of all cells, failures of every kind included, per pass."""
    price_kind: PriceKind | None
    """Whose prices these are: those of the weakest source among the cells; None if no cell says."""
    tokens_per_cell: Figure
    """Mean."""
    cost_usd_per_cell: Figure
    """Mean."""
    calls_per_cell: Figure
    """Mean; attempts of one call count once."""
    wall_clock_ms_median: Figure
    """Cells that were stopped count as having taken longer."""
    wall_clock_ms_p95: Figure
    """The same."""
    composite: Figure
    """Mean, under the profile of the results."""
    of_k: list[OfK]
    """One for each k asked for."""
    on_cost_front: OnFront
    """Among the groups, US dollars per pass, failures included, against pass rate. An unknown price is not
    $0, and a group in which nothing passed has none per pass: both are `unknown`."""
    on_token_front: OnFront
    """The same of tokens per pass."""


def aggregate(
    cells: Iterable[Observation],
    by: Sequence[Part] = ("tui", "model"),
    *,
    ks: Sequence[int] = (),
    settings: Settings | None = None,
) -> list[Aggregate]:
    """Return one aggregate per group, in the order of the groups' names.

    The order of the cells does not matter: the same cells give the same bytes.

    Args:
        cells: In any order; they are held in memory, some hundred bytes each.
        by: What makes a group; none makes one group of all.
        ks: Numbers of runs for pass@k and pass^k.
        settings: Confidence, least coverage and seed; None for the defaults.

    Raises:
        BadObservation: A cell is no `Observation`.
        ValueError: A part is not one of `PARTS`, or a k is not a whole number from 1 on.
    """
    for k in ks:
        if not isinstance(k, int) or k < 1:  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
            raise ValueError(f"k is {k!r}; it is a whole number from 1 on")
    shared = settings or Settings()
    return _with_fronts([_aggregate(key, group, ks, shared) for key, group in grouped(cells, by)])


def grouped(
    cells: Iterable[Observation], by: Sequence[Part]
) -> list[tuple[dict[str, str], list[Observation]]]:
    """Return the cells in groups: part -> its value, and those that have it; in order of values."""
    groups = by_parts(cells, by)
    return [(dict(zip(by, key, strict=True)), groups[key]) for key in sorted(groups)]


def by_parts(
    cells: Iterable[Observation], parts: Sequence[Part]
) -> dict[tuple[str, ...], list[Observation]]:
    """Return the values of the parts -> the cells that have them, in the order of the cells.

    Raises:
        BadObservation: A cell is no `Observation`.
        ValueError: A part is not one of `PARTS`.
    """
    check_choice("part of a cell id", parts, PARTS)
    groups: defaultdict[tuple[str, ...], list[Observation]] = defaultdict(list)
    for cell in checked(cells):
        groups[tuple(part_of(cell.cell, part) for part in parts)].append(cell)
    return groups


def checked(cells: Iterable[Observation]) -> Iterator[Observation]:
    """Yield the cells, which must be observations.

    Raises:
        BadObservation: One is none.
    """
    for cell in cells:
        if not isinstance(cell, Observation):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
            reason = (
                f"a cell of type {type(cell).__name__} is no Observation; observe, observe_row and"
            )
            raise BadObservation(None, None, f"{reason} observe_axes make one")
        yield cell


def check_choice(what: str, asked: Sequence[str], known: Sequence[str]) -> None:
    """Check that all that is asked for is known.

    Raises:
        ValueError: Something is not.
    """
    for each in asked:
        if each not in known:
            raise ValueError(f"{each!r} is not a {what}; there are {', '.join(known)}")


def part_of(cell: CellId, part: Part) -> str:
    """Return a part of a cell id; the task with its family, as tasks of two may share a name."""
    return cell.task_id if part == "task" else str(getattr(cell, part))


def _aggregate(
    key: dict[str, str], cells: list[Observation], ks: Sequence[int], settings: Settings
) -> Aggregate:
    decided = [cell for cell in cells if cell.decided]
    failures = Counter(cell.failure for cell in cells if cell.failure is not None)
    passed = sum(cell.passed is True for cell in decided)
    durations = [(cell.wall_clock_ms, cell.stopped) for cell in decided]
    verdicts = [verdict for _, verdict in _outcomes(cells)]
    units = _runs_by_unit(decided)
    tokens = [(_task(cell), cell.total_tokens) for cell in cells]
    costs = [(_task(cell), cell.cost_usd) for cell in cells]
    return Aggregate(
        key=key,
        cells=len(cells),
        tasks=len({_task(cell) for cell in cells}),
        passed=passed,
        failed=len(decided) - passed,
        infrastructure=dict(sorted(failures.items())),
        stopped=sum(cell.stopped for cell in cells),
        pass_rate=rate_estimate(_outcomes(decided), settings),
        pass_rate_task_weighted=mean_rate_estimate(
            [(unit[0], verdicts) for unit, verdicts in units], settings
        ),
        pass_rate_with_infrastructure=rate_estimate(
            _outcomes(cell for cell in cells if cell.failure != NO_VERDICT), settings
        ),
        tokens_per_correct=per_correct_estimate(tokens, verdicts, settings),
        cost_usd_per_pass=per_correct_estimate(costs, verdicts, settings),
        price_kind=weakest_of(each.price_kind for each in cells if each.price_kind is not None),
        tokens_per_cell=_mean(decided, "total_tokens", settings),
        cost_usd_per_cell=_mean(decided, "cost_usd", settings),
        calls_per_cell=_mean(decided, "model_calls", settings),
        wall_clock_ms_median=quantile_estimate(durations, 0.5, settings),
        wall_clock_ms_p95=quantile_estimate(durations, 0.95, settings),
        composite=_mean(decided, "composite", settings, 1.0),
        of_k=[_of_k(units, k, settings) for k in ks],
        on_cost_front="unknown",
        on_token_front="unknown",
    )


def _task(cell: Observation) -> str:
    return cell.cell.task_id


def _outcomes(cells: Iterable[Observation]) -> list[tuple[str, bool]]:
    """Return tasks and verdicts; what the infrastructure failed has not passed, whatever it says."""
    return [(_task(cell), cell.decided and cell.passed is True) for cell in cells]


def _mean(
    cells: Iterable[Observation], field: str, settings: Settings, most: float = float("inf")
) -> Figure:
    values = [(_task(cell), getattr(cell, field)) for cell in cells]
    return mean_estimate(values, settings, (0.0, most))


_Units = Sequence[tuple[tuple[str, ...], Sequence[bool]]]


def _runs_by_unit(cells: Iterable[Observation]) -> _Units:
    """Return what was run, in order, and the verdicts of its runs, of all sweeps of a group."""
    runs: defaultdict[tuple[str, ...], list[bool]] = defaultdict(list)
    for cell in cells:
        # The task comes first: it is the cluster.
        runs[_task(cell), cell.cell.tui, cell.cell.model].append(cell.passed is True)
    return sorted(runs.items())


def _of_k(units: _Units, k: int, settings: Settings) -> OfK:
    """Return the means over what was run several times, tasks being the clusters."""
    if not units:
        return OfK(k, NO_CELLS, NO_CELLS)
    try:
        at = [(unit[0], pass_at_k(len(each), sum(each), k)) for unit, each in units]
    except TooFewRuns as error:
        few = Figure(None, reason=str(error))
        return OfK(k, few, few)
    hat = [(unit[0], pass_hat_k(len(each), sum(each), k)) for unit, each in units]
    return OfK(k, mean_estimate(at, settings, (0.0, 1.0)), mean_estimate(hat, settings, (0.0, 1.0)))


def _with_fronts(groups: list[Aggregate]) -> list[Aggregate]:
    costs = _front([(group.cost_usd_per_pass, group.pass_rate) for group in groups])
    tokens = _front([(group.tokens_per_correct, group.pass_rate) for group in groups])
    return [
        replace(group, on_cost_front=on_cost, on_token_front=on_token)
        for group, on_cost, on_token in zip(groups, costs, tokens, strict=True)
    ]


def _front(groups: list[tuple[Figure, Figure]]) -> list[OnFront]:
    offers = [
        Offer(str(index), cost.value, rate.value) for index, (cost, rate) in enumerate(groups)
    ]
    result = pareto_front(offers)
    places: dict[str, OnFront] = {
        **{offer.name: "front" for offer in result.front},
        **{offer.name: "dominated" for offer in result.dominated},
        **{offer.name: "unknown" for offer in result.unknown},
    }
    return [places[offer.name] for offer in offers]
