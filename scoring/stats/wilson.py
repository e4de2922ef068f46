"""Wilson's score interval: how sure a pass rate is."""

from fractions import Fraction
from math import sqrt

from cab.scoring.errors import TooFewRuns
from cab.scoring.stats.interval import (
    DEFAULT_CONFIDENCE,
    Interval,
    check_share,
    normal_quantile,
)


def wilson_interval(
    passed: int | Fraction, runs: int, confidence: float = DEFAULT_CONFIDENCE
) -> Interval:
    """Return the interval of the chance to pass, from independent runs.

    With p = passed / runs, n = runs, z the normal quantile of (1 + confidence) / 2:
    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n). Without continuity correction. It
    stays within 0 and 1 and has a width even where all runs passed, or none.

    Args:
        passed: Runs that passed, 0 <= c <= n; a fraction where the rate is a mean of rates.
        runs: Runs, n >= 1.
        confidence: Between 0 and 1.

    Raises:
        TooFewRuns: There is no run.
        ValueError: An argument is out of range.

    Source:
        Wilson 1927, J. Am. Stat. Assoc. 22, 209-212.
    """
    check_share("confidence", confidence)
    if runs < 1:
        raise TooFewRuns(runs, 1, "a pass rate")
    if not 0 <= passed <= runs:
        raise ValueError(f"{passed} passed of {runs} runs")
    z = normal_quantile((1 + confidence) / 2)
    rate, square = passed / runs, z * z / runs
    middle = rate + square / 2
    half = z * sqrt((rate * (1 - rate) + square / 4) / runs)
    # At the ends the formula gives exactly 0 and 1; its rounding does not.
    low = 0.0 if passed == 0 else (middle - half) / (1 + square)
    high = 1.0 if passed == runs else (middle + half) / (1 + square)
    return Interval(low, high, confidence)
