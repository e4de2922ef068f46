"""Quantiles of durations, some of which were cut off at a time-out."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from cab.scoring.errors import TooFewRuns
from cab.scoring.introspection.field_texts import with_field_texts
from cab.scoring.stats.interval import check_share

_ROUNDING = 1e-12


@with_field_texts
class Duration(NamedTuple):
    """One duration, in any unit."""

    length: float
    """How long it took, or was seen to take."""
    censored: bool
    """Whether it was cut off, so that it would have taken longer."""


@with_field_texts
class CensoredQuantile(NamedTuple):
    """A quantile in the unit of the durations."""

    value: float | None
    """The quantile; None where the cut-offs hide it."""
    at_least: float
    """The same, or where it is hidden what it is sure to reach: the longest length seen."""


def survival(durations: Iterable[Duration]) -> list[tuple[float, float]]:
    """Return the Kaplan-Meier estimate of S(t) = P(T > t), at each length where something ended.

    S(t) = product over ends t_i <= t of (1 - d_i / n_i), with d_i ends at t_i among the n_i
    durations that had lasted until then. A duration cut off at t_i was still lasting at t_i.

    Args:
        durations: Any number, in any order.

    Returns:
        Pairs (t_i, S(t_i)), t_i rising.

    Source:
        Kaplan and Meier 1958, J. Am. Stat. Assoc. 53, 457-481.
    """
    ended: Counter[float] = Counter()
    leaving: Counter[float] = Counter()
    for length, censored in durations:
        leaving[length] += 1
        ended[length] += not censored
    at_risk, share = leaving.total(), 1.0
    steps: list[tuple[float, float]] = []
    for length in sorted(leaving):
        if ended[length]:
            share *= 1 - ended[length] / at_risk
            steps.append((length, share))
        at_risk -= leaving[length]
    return steps


def censored_quantile(durations: Iterable[Duration], probability: float) -> CensoredQuantile:
    """Return the shortest length by which a share of the durations has ended.

    min t with S(t) <= 1 - probability. With nothing cut off this is the inverse of the empirical
    distribution: of an even number of lengths, the median is the lower of the middle two.

    Args:
        durations: At least one.
        probability: 0.5 for the median, 0.95 for p95.

    Raises:
        TooFewRuns: There are no durations.
        ValueError: The probability is not between 0 and 1.

    Source:
        Kaplan and Meier 1958; the inverse is definition 1 of Hyndman and Fan 1996.
    """
    check_share("probability", probability)
    every = list(durations)
    if not every:
        raise TooFewRuns(0, 1, "a quantile")
    for length, share in survival(every):
        # The product of shares such as 2/3 and 1/2 misses 1/3 by a rounding.
        if share <= 1 - probability + _ROUNDING:
            return CensoredQuantile(length, length)
    return CensoredQuantile(None, max(duration.length for duration in every))
