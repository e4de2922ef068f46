"""Minimum detectable difference: what a sweep of this size could have distinguished from chance."""

from cab.scoring.errors import TooFewRuns
from cab.scoring.stats.interval import DEFAULT_CONFIDENCE, check_share
from cab.scoring.stats.student import student_quantile

DEFAULT_POWER = 0.8
"""Chance to find a difference that is there, where none is named."""


def detectable_difference(
    standard_error: float,
    clusters: int,
    *,
    confidence: float = DEFAULT_CONFIDENCE,
    power: float = DEFAULT_POWER,
) -> float | None:
    """Return the smallest true difference that would be found with the given chance.

    (t of (1 + confidence)/2 + t of power) * standard error, t of Student's distribution with C - 1
    degrees of freedom.

    Args:
        standard_error: Of the mean difference, in its unit; >= 0.
        clusters: Tasks, C >= 2.
        confidence: Of the two-sided interval that must exclude 0.
        power: Chance to find the difference.

    Returns:
        The difference in the unit of the standard error; None where that is 0, for pairs that all
        differ alike say nothing of how much they might.

    Raises:
        TooFewRuns: There are fewer than two tasks.
        ValueError: An argument is out of range.

    Source:
        Miller 2024, https://arxiv.org/abs/2411.00640, power analysis, with t in place of z, as
        is usual for few clusters (Bloom 1995, Eval. Rev. 19, 547-556).
    """
    check_share("confidence", confidence)
    check_share("power", power)
    if clusters < 2:
        raise TooFewRuns(clusters, 2, "a detectable difference", unit="task")
    if standard_error < 0:
        raise ValueError(f"a standard error of {standard_error}")
    if standard_error == 0:
        return None
    freedom = clusters - 1
    quantiles = student_quantile((1 + confidence) / 2, freedom) + student_quantile(power, freedom)
    return quantiles * standard_error
