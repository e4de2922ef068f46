"""Ratios of sums over tasks, and how sure they are: by resampling whole tasks."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import ceil, inf
from typing import NamedTuple

from cab.scoring.errors import TooFewRuns
from cab.scoring.stats.interval import DEFAULT_CONFIDENCE, Interval, check_share
from cab.scoring.stats.seeded import DEFAULT_SEED, SeededDraws

DEFAULT_DRAWS = 1999
"""One less than a round number, so that percentiles of draws fall on draws."""

_CACHED_DRAWS = 4_000_000
"""Most draws that are cached for the next ratio: 16 MB of them."""


class RatioParts(NamedTuple):
    """What one task adds to a ratio."""

    above: float
    """To the numerator, such as tokens."""
    below: float
    """To the denominator, such as passes; not negative."""


def bootstrap_ratio(
    tasks: Mapping[str, RatioParts],
    *,
    confidence: float = DEFAULT_CONFIDENCE,
    draws: int = DEFAULT_DRAWS,
    seed: int = DEFAULT_SEED,
) -> Interval:
    """Return the percentile interval of sum(above) / sum(below) over resampled tasks.

    Each draw takes as many tasks as there are, with replacement. Of B draws, sorted, the ends are
    number a(B+1) from below and from above, a = (1 - confidence) / 2, rounded outwards. A draw
    whose denominator is 0 counts as infinite: enough of them leave the interval open above.

    Args:
        tasks: Task -> its parts, in the unit of the ratio; at least two tasks, and the sum of
            `below` is positive. Their order does not matter.
        confidence: Between 0 and 1.
        draws: B; at least 1 / a - 1, so that the ends are draws.
        seed: The same seed and tasks give the same interval.

    Raises:
        TooFewRuns: There are fewer than two tasks, or too few draws for the confidence.
        ValueError: The ratio itself is not defined, or the confidence is out of range.

    Source:
        Efron 1979, Ann. Statist. 7, 1-26; percentile interval: Efron and Tibshirani 1993, 13.3.
    """
    check_share("confidence", confidence)
    if len(tasks) < 2:
        raise TooFewRuns(len(tasks), 2, "a bootstrap over tasks", unit="task")
    tail = (1 - confidence) / 2
    if draws < 1 / tail - 1:
        raise TooFewRuns(draws, ceil(1 / tail - 1), f"confidence {confidence}", unit="draw")
    parts = [tasks[name] for name in sorted(tasks)]
    if sum(part.below for part in parts) <= 0:
        raise ValueError("the denominator is 0, so there is no ratio")
    ratios = sorted(_ratios(parts, _resamples(len(parts), draws, seed)))
    # The rounding of (1 - confidence) / 2 must not move the ends by one draw.
    place = int(tail * (draws + 1) + 1e-9)
    low, high = ratios[place - 1], ratios[draws - place]
    return Interval(low, None if high == inf else high, confidence)


def _resamples(tasks: int, draws: int, seed: int) -> Iterable[Sequence[int]]:
    if tasks * draws <= _CACHED_DRAWS:
        return _cached(tasks, draws, seed)
    source = SeededDraws(seed)
    return (source.indices(tasks) for _ in range(draws))


@lru_cache(maxsize=1)
def _cached(tasks: int, draws: int, seed: int) -> Sequence[Sequence[int]]:
    """Return the resamples; the agents of a sweep have as many tasks each, so one set serves all."""
    source = SeededDraws(seed)
    return [array("I", source.indices(tasks)) for _ in range(draws)]


def _ratios(parts: list[RatioParts], resamples: Iterable[Sequence[int]]) -> list[float]:
    above = [part.above for part in parts]
    below = [part.below for part in parts]
    ratios: list[float] = []
    for taken in resamples:
        divisor = sum(map(below.__getitem__, taken))
        ratios.append(sum(map(above.__getitem__, taken)) / divisor if divisor else inf)
    return ratios
