"""Estimates over a set of cells: a value, how sure it is, and how much of the set it covers."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from cab.scoring.introspection.field_texts import with_field_texts
from cab.scoring.stats import (
    Duration,
    Interval,
    RatioParts,
    bootstrap_ratio,
    censored_quantile,
    clustered_mean,
    per_correct,
    wilson_interval,
)
from cab.scoring.stats.exact import Number, exact_sum
from cab.scoring.stats.interval import DEFAULT_CONFIDENCE, check_share, is_number
from cab.scoring.stats.seeded import DEFAULT_SEED

Method = Literal["clustered", "wilson", "bootstrap"]
"""How an interval was made: `docs/statistics.md`."""


@with_field_texts
@dataclass(frozen=True, slots=True)
class Figure:
    """An estimate; a null value has a reason."""

    value: float | None
    """The estimate; None where `reason` says why."""
    low: float | None = None
    """Lower end of the interval; None where there is none."""
    high: float | None = None
    """Upper end; None where there is none, or where it is open."""
    coverage: float | None = None
    """Share of the cells that it could be known of; None without cells."""
    method: Method | None = None
    """How the interval was made; None without one."""
    reason: str | None = None
    """Why there is no value."""


@with_field_texts
@dataclass(frozen=True, slots=True)
class Settings:
    """What all estimates of one output share.

    Raises:
        ValueError: A value is out of range.
    """

    confidence: float = DEFAULT_CONFIDENCE
    """Of every interval."""
    min_coverage: float = 1.0
    """Share of the cells that must be known before there is a mean or a quantile."""
    seed: int = DEFAULT_SEED
    """Of what is drawn; any whole number."""

    def __post_init__(self) -> None:
        check_share("confidence", self.confidence)
        if not is_number(self.min_coverage) or not 0 <= self.min_coverage <= 1:
            raise ValueError(f"min_coverage is {self.min_coverage}; it is a share from 0 to 1")
        if not isinstance(self.seed, int):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
            raise ValueError(f"the seed is {self.seed!r}; it is a whole number")


NO_CELLS = Figure(None, reason="no cells")


def rate_estimate(outcomes: Sequence[tuple[str, bool]], settings: Settings) -> Figure:
    """Return the share of the cells that passed, the run-weighted rate; tasks are the clusters.

    The interval is the clustered one, cut to 0 to 1. With one task, or where all tasks have the
    same rate, so that they show no spread, it is Wilson's: over the tasks if all passed or none.

    Args:
        outcomes: Task and verdict of each cell.
        settings: Confidence.
    """
    return _rate([(task, int(verdict)) for task, verdict in outcomes], len(outcomes), settings)


def mean_rate_estimate(runs: Iterable[tuple[str, Sequence[bool]]], settings: Settings) -> Figure:
    """Return the mean of the shares that passed, the task-weighted rate; tasks are the clusters.

    However often a task was run it counts once. The interval is made as that of `rate_estimate`.

    Args:
        runs: Task and verdicts of what was run several times: of an agent and a model on it.
        settings: Confidence.
    """
    units = [
        (task, Fraction(sum(verdicts), len(verdicts)), len(verdicts)) for task, verdicts in runs
    ]
    return _rate([(task, rate) for task, rate, _ in units], sum(n for *_, n in units), settings)


def _rate(rates: Sequence[tuple[str, Number]], runs: int, settings: Settings) -> Figure:
    if not rates:
        return NO_CELLS
    value = exact_sum(rate for _, rate in rates) / len(rates)
    clusters = _by_task(rates)
    if len(clusters) > 1:
        spread = clustered_mean(clusters).interval(settings.confidence)
        if spread is not None:
            return _clustered(float(value), spread, 1.0, (0.0, 1.0))
    trials = len(clusters) if len(clusters) > 1 and value in {0, 1} else runs
    interval = wilson_interval(value * trials, trials, settings.confidence)
    return Figure(float(value), interval.low, interval.high, 1.0, "wilson")


def mean_estimate(
    values: Sequence[tuple[str, Number | None]],
    settings: Settings,
    limits: tuple[float, float] = (float("-inf"), float("inf")),
) -> Figure:
    """Return the mean of what is known, if enough is; tasks are the clusters.

    Args:
        values: Task and value of each cell.
        settings: Confidence and the least coverage.
        limits: What the mean cannot leave, for its interval.
    """
    known = [(task, value) for task, value in values if value is not None]
    hidden = _hidden(len(known), len(values), settings)
    if hidden is not None:
        return hidden
    clusters = _by_task(known)
    coverage = len(known) / len(values)
    if len(clusters) < 2:
        [only] = clusters.values()
        return Figure(float(exact_sum(only) / len(only)), coverage=coverage)
    mean = clustered_mean(clusters)
    interval = mean.interval(settings.confidence)
    if interval is None:
        return Figure(mean.mean, coverage=coverage)
    return _clustered(mean.mean, interval, coverage, limits)


def per_correct_estimate(
    amounts: Sequence[tuple[str, int | Decimal | None]],
    verdicts: Sequence[bool],
    settings: Settings,
) -> Figure:
    """Return the amount per pass, failures paid for; null unless every amount is known.

    Args:
        amounts: Task and amount of each cell.
        verdicts: Whether it passed, in the same order.
        settings: Confidence and seed.
    """
    if not amounts:
        return NO_CELLS
    attempts: defaultdict[str, list[tuple[int | Decimal | None, bool]]] = defaultdict(list)
    for (task, amount), passed in zip(amounts, verdicts, strict=True):
        attempts[task].append((amount, passed))
    result = per_correct(attempt for each in attempts.values() for attempt in each)
    if result.value is None:
        reason = "nothing passed" if result.coverage == 1 else _measured(result.coverage)
        return Figure(None, coverage=result.coverage, reason=reason)
    shares = {task: per_correct(each) for task, each in attempts.items()}
    if len(shares) < 2:
        return Figure(result.value, coverage=1.0)
    parts = {task: RatioParts(share.known, share.correct) for task, share in shares.items()}
    interval = bootstrap_ratio(parts, confidence=settings.confidence, seed=settings.seed)
    if interval is None:
        return Figure(result.value, coverage=1.0)
    return Figure(result.value, interval.low, interval.high, 1.0, "bootstrap")


def quantile_estimate(
    durations: Sequence[tuple[float | None, bool]], probability: float, settings: Settings
) -> Figure:
    """Return a quantile of durations, some of which were cut off at a time limit.

    Args:
        durations: Length and whether it was cut off, of each cell.
        probability: 0.5 for the median.
        settings: The least coverage.

    Returns:
        Where the time limit hides the quantile the value is None, and `low` what it is sure to
        reach.
    """
    known = [Duration(length, cut) for length, cut in durations if length is not None]
    hidden = _hidden(len(known), len(durations), settings)
    if hidden is not None:
        return hidden
    coverage = len(known) / len(durations)
    found = censored_quantile(known, probability)
    if found.value is None:
        reason = "beyond the time limit at which cells were stopped"
        return Figure(None, low=found.at_least, coverage=coverage, reason=reason)
    return Figure(found.value, coverage=coverage)


def _by_task(values: Iterable[tuple[str, Number]]) -> dict[str, list[Number]]:
    tasks: defaultdict[str, list[Number]] = defaultdict(list)
    for task, value in values:
        tasks[task].append(value)
    return tasks


def _hidden(known: int, cells: int, settings: Settings) -> Figure | None:
    """Return the estimate of a set of which too little is known; None where enough is."""
    if not cells:
        return NO_CELLS
    coverage = known / cells
    if not known or coverage < settings.min_coverage:
        return Figure(None, coverage=coverage, reason=_measured(coverage))
    return None


def _measured(coverage: float | None) -> str:
    return f"measured on {coverage:.1%} of the cells"


def _clustered(
    value: float, interval: Interval, coverage: float, limits: tuple[float, float]
) -> Figure:
    high = None if interval.high is None else min(limits[1], interval.high)
    return Figure(value, max(limits[0], interval.low), high, coverage, "clustered")
