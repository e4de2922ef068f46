"""Ratios of sums over tasks, and how sure they are: by resampling whole tasks."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from math import ceil, inf
from typing import NamedTuple

from cab.scoring.errors import TooFewRuns
from cab.scoring.introspection.field_texts import with_field_texts
from cab.scoring.stats.exact import RELATIVE_ROUNDING, Number, exact_sum
from cab.scoring.stats.interval import DEFAULT_CONFIDENCE, Interval, check_share
from cab.scoring.stats.seeded import DEFAULT_SEED, SeededDraws

DEFAULT_DRAWS = 1999
"""One less than a round number, so that percentiles of draws fall on draws."""

_CACHED_DRAWS = 4_000_000
"""Most draws that are cached for the next ratio: 16 MB of them."""


@with_field_texts
class RatioParts(NamedTuple):
    """What one task adds to a ratio."""

    above: Number
    """To the numerator, such as tokens."""
    below: Number
    """To the denominator, such as passes; not negative."""


def bootstrap_ratio(
    tasks: Mapping[str, RatioParts],
    *,
    confidence: float = DEFAULT_CONFIDENCE,
    draws: int = DEFAULT_DRAWS,
    seed: int = DEFAULT_SEED,
) -> Interval | None:
    """Return the percentile interval of sum(above) / sum(below) over resampled tasks.

    Each draw takes as many tasks as there are, with replacement. Of B draws, sorted, the ends are
    number a(B+1) from below and from above, a = (1 - confidence) / 2, rounded outwards. A draw
    whose denominator is 0 counts as infinite: enough of them leave the interval open above.

    None where all tasks have the same ratio: an interval without width would claim to know the next
    task too.

    Args:
        tasks: Task -> its parts, in the unit of the ratio; at least two tasks, and the sum of
            `below` is positive. Their order does not matter.
        confidence: Between 0 and 1.
        draws: B; at least 1 / a - 1, so that the ends are draws.
        seed: The same seed and tasks give the same interval.

    Raises:
        TooFewRuns: There are fewer than two tasks, or too few draws for the confidence.
        ValueError: The ratio itself is not defined, a part is not finite, or the confidence is out
            of range.

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
    above = exact_sum(part.above for part in parts)
    below = exact_sum(part.below for part in parts)
    if below <= 0:
        raise ValueError("the denominator is 0, so there is no ratio")
    if all(_are_alike(part, above, below) for part in parts):
        return None
    ratios = sorted(_ratios(parts, _resamples(len(parts), draws, seed)))
    # The rounding of (1 - confidence) / 2 must not move the ends by one draw.
    place = int(tail * (draws + 1) + 1e-9)
    low, high = ratios[place - 1], ratios[draws - place]
    return Interval(low, None if high == inf else high, confidence)


def _are_alike(part: RatioParts, above: Fraction, below: Fraction) -> bool:
    """Return whether a task has the ratio of all: above_i / below_i = above / below."""
    ours, theirs = Fraction(part.above) * below, above * Fraction(part.below)
    rounded = any(isinstance(each, float) for each in part)
    return abs(ours - theirs) <= (RELATIVE_ROUNDING * max(abs(ours), abs(theirs)) if rounded else 0)


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
    above = [float(part.above) for part in parts]
    below = [float(part.below) for part in parts]
    ratios: list[float] = []
    for taken in resamples:
        divisor = sum(map(below.__getitem__, taken))
        ratios.append(sum(map(above.__getitem__, taken)) / divisor if divisor else inf)
    return ratios
