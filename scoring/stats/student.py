"""Student's t for whole degrees of freedom: what few clusters cost in width."""

from functools import lru_cache
from math import atan, cos, exp, lgamma, log, pi, sin, sqrt

from cab.scoring.stats.interval import check_share, normal_quantile


def student_cdf(t: float, freedom: int) -> float:
    """Return P(T <= t).

    With a = atan(t / sqrt(v)), P(|T| <= t) is, for odd v,
    2/pi (a + sin a (cos a + 2/3 cos^3 a + ... up to cos^(v-2) a)) and, for even v,
    sin a (1 + 1/2 cos^2 a + 1*3/(2*4) cos^4 a + ... up to cos^(v-2) a).

    Args:
        t: Any number.
        freedom: Degrees of freedom v >= 1.

    Raises:
        ValueError: v < 1.

    Source:
        Abramowitz and Stegun 1964, 26.7.3 and 26.7.4.
    """
    if freedom < 1:
        raise ValueError(f"{freedom} degrees of freedom; at least 1 is needed")
    return (1 + _within(t, freedom)) / 2


@lru_cache(maxsize=256)
def student_quantile(probability: float, freedom: int) -> float:
    """Return the t with P(T <= t) = probability.

    Args:
        probability: Between 0 and 1, both excluded.
        freedom: Degrees of freedom v >= 1.

    Raises:
        ValueError: An argument is out of range.

    Source:
        Newton's method on `student_cdf`. Above 0 the function is concave and t exceeds the normal
        quantile, so that the steps from there approach t from below and never pass it.
    """
    check_share("probability", probability)
    if probability < 0.5:
        return -student_quantile(1 - probability, freedom)
    t, nearer = 0.0, normal_quantile(probability)
    while nearer > t:
        t = nearer
        nearer = t + (probability - student_cdf(t, freedom)) / _density(t, freedom)
    return t


def _within(t: float, freedom: int) -> float:
    """Return P(|T| <= t), negative for negative t."""
    angle = atan(t / sqrt(freedom))
    squared = cos(angle) ** 2
    odd = freedom % 2
    if freedom == 1:
        return 2 * angle / pi
    term = cos(angle) if odd else 1.0
    total = term
    for step in range(1 + odd, freedom - 2, 2):
        term *= squared * step / (step + 1)
        total += term
    series = sin(angle) * total
    return 2 / pi * (angle + series) if odd else series


def _density(t: float, freedom: int) -> float:
    scale = lgamma((freedom + 1) / 2) - lgamma(freedom / 2) - log(freedom * pi) / 2
    return exp(scale - (freedom + 1) / 2 * log(1 + t * t / freedom))
