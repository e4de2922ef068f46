"""Intervals: what every statistic with an uncertainty comes back with."""

from statistics import NormalDist
from typing import NamedTuple

from cab.scoring.introspection.field_texts import with_field_texts

DEFAULT_CONFIDENCE = 0.95
"""Share of the intervals that hold the true value, where none is named."""


@with_field_texts
class Interval(NamedTuple):
    """A two-sided confidence interval, in the unit of what it is about."""

    low: float
    """Lower end."""
    high: float | None
    """Upper end; None where the data set none."""
    confidence: float
    """Share of such intervals that hold the true value."""


def is_number(value: object) -> bool:
    """Return whether a value is a number and no bool, which callers without types may give."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_share(name: str, share: float) -> None:
    """Check that a share lies strictly between 0 and 1.

    Raises:
        ValueError: It does not.
    """
    if not is_number(share) or not 0 < share < 1:
        raise ValueError(f"{name} is {share}; it lies between 0 and 1, both excluded")


def normal_quantile(probability: float) -> float:
    """Return the quantile of the standard normal distribution.

    Raises:
        ValueError: The probability is not between 0 and 1.

    Source:
        Wichura 1988, algorithm AS 241, as in Python's `statistics.NormalDist`.
    """
    check_share("probability", probability)
    return NormalDist().inv_cdf(probability)
