"""A against B over the cells that both have: effect, interval, p, and what could be resolved."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, get_args

from cab.scoring.analysis.aggregate import Part, by_parts, check_choice, checked, part_of
from cab.scoring.analysis.estimates import Settings
from cab.scoring.analysis.observation import Observation
from cab.scoring.errors import TooFewRuns
from cab.scoring.introspection.field_texts import with_field_texts
from cab.scoring.stats import Number, PairedEffect, holm, mcnemar_test, paired_effect
from cab.scoring.stats.detectable import DEFAULT_POWER
from cab.scoring.stats.exact import exact_sum, rounding_of
from cab.scoring.stats.interval import check_share

Metric = Literal[
    "pass_rate",
    "composite",
    "total_tokens",
    "model_calls",
    "cost_usd",
    "wall_clock_ms",
    "blast_radius",
]
"""What can be compared; the mean per cell of each."""
METRICS: tuple[Metric, ...] = get_args(Metric)
"""All of them."""

_SHARES: tuple[Metric, ...] = ("pass_rate", "composite", "blast_radius")
"""Metrics from 0 to 1."""

DetectableReason = Literal["no_spread", "beyond_range"]
"""Why there is no detectable difference."""

_Pairs = Mapping[tuple[str, ...], tuple[list[Observation], list[Observation]]]


@with_field_texts
@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of A against B; its numbers are None where `reason` says why."""

    a: str
    """Name of A."""
    b: str
    """Name of B."""
    metric: Metric
    """What is compared."""
    paired_by: tuple[Part, ...]
    """What the two cells of a pair have in common."""
    pairs: int
    """Pairs; each side is the mean over its runs."""
    tasks: int
    """Tasks with a pair: the clusters."""
    unpaired_a: int
    """Cells of A without a counterpart."""
    unpaired_b: int
    """Cells of B without one."""
    infrastructure_a: int
    """Cells of A that say nothing about the agent; they are not compared."""
    infrastructure_b: int
    """The same of B."""
    coverage: float | None = None
    """Share of the pairs of which the metric is known; None without pairs."""
    task_weighted_a: float | None = None
    """Mean over the pairs of the mean over the runs of A in each: what is compared."""
    task_weighted_b: float | None = None
    """The same of B."""
    run_weighted_a: float | None = None
    """Mean over all runs of A in the pairs, as `aggregate` has it; a task with more runs weighs more."""
    run_weighted_b: float | None = None
    """The same of B."""
    difference: float | None = None
    """Mean of A - B over the pairs."""
    standard_error: float | None = None
    """Of the difference, clustered by task."""
    low: float | None = None
    """Lower end of its interval."""
    high: float | None = None
    """Upper end."""
    p: float | None = None
    """By sign flips of whole tasks, two-sided."""
    p_exact: bool | None = None
    """Whether all flips were tried."""
    smallest_p: float | None = None
    """The smallest p that so many tasks can give."""
    p_holm: float | None = None
    """p, adjusted for all comparisons of the same output."""
    p_mcnemar: float | None = None
    """Exact, of passes where each task has one pair of one run each."""
    detectable: float | None = None
    """Smallest true difference that would have been found; None where `reason` or `detectable_reason` says
    why."""
    detectable_reason: DetectableReason | None = None
    """`no_spread`: all pairs differ alike. `beyond_range`: it is more than the metric can differ, such as
    100 points."""
    confidence: float = 0.95
    """Of the interval."""
    power: float = DEFAULT_POWER
    """Chance to find the detectable difference."""
    reason: str | None = None
    """Why there is no effect."""


def compare(
    a: tuple[str, Iterable[Observation]],
    b: tuple[str, Iterable[Observation]],
    metrics: Sequence[Metric] = ("pass_rate",),
    *,
    settings: Settings | None = None,
    power: float = DEFAULT_POWER,
) -> list[Comparison]:
    """Return one comparison per metric; `p_holm` is adjusted for these.

    Cells are paired by task, and by agent and model as far as both sides have one in common: what
    they do not share is what is compared.

    Args:
        a: Name and cells of A.
        b: Name and cells of B.
        metrics: What to compare.
        settings: Confidence, seed, and the share of pairs that must be known.
        power: Of the detectable difference.

    Raises:
        BadObservation: A cell is no `Observation`.
        ValueError: A metric is not one of `METRICS`, or the power is not between 0 and 1.
    """
    return compare_all((a, b), metrics, settings=settings, power=power)


def compare_all(
    sides: Iterable[tuple[str, Iterable[Observation]]],
    metrics: Sequence[Metric] = ("pass_rate",),
    *,
    settings: Settings | None = None,
    power: float = DEFAULT_POWER,
) -> list[Comparison]:
    """Return the comparisons of each side with each later one, adjusted for all of them.

    Args:
        sides: Name and cells of each.
        metrics: What to compare.
        settings: Confidence, seed, and the share of pairs that must be known.
        power: Of the detectable difference.

    Raises:
        BadObservation: A cell is no `Observation`.
        ValueError: A metric is not one of `METRICS`, or the power is not between 0 and 1.
    """
    check_choice("metric", metrics, METRICS)
    check_share("power", power)
    shared = settings or Settings()
    read = [(name, list(checked(cells))) for name, cells in sides]
    return adjusted(
        comparison
        for index, a in enumerate(read)
        for b in read[index + 1 :]
        for comparison in _compare(a, b, metrics, shared, power)
    )


def adjusted(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """Return the comparisons with Holm's correction over all that have a p."""
    every = list(comparisons)
    values = iter(holm([each.p for each in every if each.p is not None]))
    return [each if each.p is None else replace(each, p_holm=next(values)) for each in every]


def _compare(
    a: tuple[str, Sequence[Observation]],
    b: tuple[str, Sequence[Observation]],
    metrics: Sequence[Metric],
    settings: Settings,
    power: float,
) -> list[Comparison]:
    kept_a, kept_b = ([cell for cell in side[1] if cell.decided] for side in (a, b))
    paired_by = _paired_by(kept_a, kept_b)
    sides_a, sides_b = by_parts(kept_a, paired_by), by_parts(kept_b, paired_by)
    common = sorted(sides_a.keys() & sides_b.keys())
    pairs = {key: (sides_a[key], sides_b[key]) for key in common}
    empty = Comparison(
        a=a[0],
        b=b[0],
        metric="pass_rate",
        paired_by=paired_by,
        pairs=len(pairs),
        tasks=len({key[0] for key in pairs}),
        unpaired_a=len(kept_a) - sum(len(sides_a[key]) for key in common),
        unpaired_b=len(kept_b) - sum(len(sides_b[key]) for key in common),
        infrastructure_a=len(a[1]) - len(kept_a),
        infrastructure_b=len(b[1]) - len(kept_b),
        confidence=settings.confidence,
        power=power,
    )
    return [_of_metric(replace(empty, metric=metric), pairs, settings) for metric in metrics]


def _paired_by(a: Sequence[Observation], b: Sequence[Observation]) -> tuple[Part, ...]:
    """Return the task, and agent and model if both sides have one in common."""
    shared: list[Part] = ["task"]
    parts: tuple[Part, ...] = ("tui", "model")
    for part in parts:
        ours, theirs = ({part_of(cell.cell, part) for cell in side} for side in (a, b))
        if ours & theirs:
            shared.append(part)
    return tuple(shared)


def _of_metric(empty: Comparison, pairs: _Pairs, settings: Settings) -> Comparison:
    if not pairs:
        return replace(empty, reason="no cells to pair: A and B have no task in common")
    values = {key: [_values(runs, empty.metric) for runs in both] for key, both in pairs.items()}
    known = {key: (a, b) for key, (a, b) in values.items() if a is not None and b is not None}
    coverage = len(known) / len(pairs)
    partly = replace(empty, coverage=coverage)
    if not known or coverage < settings.min_coverage:
        return replace(partly, reason=f"measured on {coverage:.1%} of the pairs")
    described = _with_means(partly, list(known.values()))
    differences: defaultdict[str, list[Number]] = defaultdict(list)
    for key, (a, b) in known.items():
        differences[key[0]].append(_mean(a) - _mean(b))
    try:
        effect = paired_effect(
            differences,
            rounding=rounding_of(
                value for both in known.values() for side in both for value in side
            ),
            confidence=settings.confidence,
            power=empty.power,
            seed=settings.seed,
        )
    except TooFewRuns as error:
        [only] = differences.values()
        return replace(described, difference=float(_mean(only)), reason=str(error))
    return _with_effect(described, effect, _mcnemar(empty, pairs))


def _with_means(
    found: Comparison, pairs: Sequence[tuple[Sequence[Number], Sequence[Number]]]
) -> Comparison:
    sides_a, sides_b = [a for a, _ in pairs], [b for _, b in pairs]
    return replace(
        found,
        task_weighted_a=float(_mean([_mean(a) for a in sides_a])),
        task_weighted_b=float(_mean([_mean(b) for b in sides_b])),
        run_weighted_a=float(_mean([value for a in sides_a for value in a])),
        run_weighted_b=float(_mean([value for b in sides_b for value in b])),
    )


def _mean(values: Sequence[Number]) -> Fraction:
    total = exact_sum(values)
    return total if len(values) == 1 else total / len(values)


def _with_effect(found: Comparison, effect: PairedEffect, p_mcnemar: float | None) -> Comparison:
    low, high, _ = effect.interval or (None, None, None)
    detectable, reason = _detectable(effect.detectable, found.metric)
    return replace(
        found,
        difference=effect.mean.mean,
        standard_error=effect.mean.standard_error,
        low=_within(low, found.metric),
        high=_within(high, found.metric),
        p=effect.test.p,
        p_exact=effect.test.exact,
        smallest_p=effect.test.smallest_p,
        p_mcnemar=p_mcnemar,
        detectable=detectable,
        detectable_reason=reason,
    )


def _detectable(size: float | None, metric: Metric) -> tuple[float | None, DetectableReason | None]:
    if size is None:
        return None, "no_spread"
    return (None, "beyond_range") if metric in _SHARES and size > 1 else (size, None)


def _within(end: float | None, metric: Metric) -> float | None:
    """Return an end of an interval, cut to the differences that the metric can have."""
    return max(-1.0, min(1.0, end)) if end is not None and metric in _SHARES else end


def _values(runs: Sequence[Observation], metric: Metric) -> list[Number] | None:
    """Return a metric of the runs of one side; None unless it is known of each."""
    values = [_value(run, metric) for run in runs]
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else None


def _value(cell: Observation, metric: Metric) -> Number | None:
    if metric == "pass_rate":
        return None if cell.passed is None else int(cell.passed)
    found: Number | None = getattr(cell, metric)
    return found


def _mcnemar(empty: Comparison, pairs: _Pairs) -> float | None:
    """Return p where the pairs are independent: one per task, of one run each."""
    single = all(len(a) == len(b) == 1 for a, b in pairs.values())
    if empty.metric != "pass_rate" or empty.pairs != empty.tasks or not single:
        return None
    outcomes = [(a[0].passed is True, b[0].passed is True) for a, b in pairs.values()]
    only_a, only_b = outcomes.count((True, False)), outcomes.count((False, True))
    return mcnemar_test(len(pairs), only_a, only_b).p
