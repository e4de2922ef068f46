"""Exact sums, and what a float may be off: whether values are all alike is not a matter of rounding."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

Number = int | float | Fraction | Decimal
"""A value that statistics take. All but floats are exact; a float is a rounding of what it stands for."""

RELATIVE_ROUNDING = 1e-12
"""Share of the largest float by which floats may be off, a few thousand times the rounding of one step."""


def exact_sum(values: Iterable[Number]) -> Fraction:
    """Return the sum without any rounding, so that the order of the values does not matter.

    Args:
        values: Finite numbers; a float counts as the binary fraction that it is.

    Raises:
        ValueError: A value is not finite.
    """
    summands = list(values)
    above: defaultdict[int, int] = defaultdict(int)
    try:
        if len(summands) == 1:  # most means are of one run
            return Fraction(summands[0])
        for value in summands:
            numerator, denominator = value.as_integer_ratio()
            above[denominator] += numerator
    except OverflowError:
        raise ValueError("a value is not finite") from None
    return sum((Fraction(above[below], below) for below in sorted(above)), Fraction(0))


def rounding_of(values: Iterable[Number]) -> float:
    """Return how far the floats among some values may be from what they stand for; 0 without floats."""
    sizes = (abs(value) for value in values if isinstance(value, float))
    return RELATIVE_ROUNDING * max(sizes, default=0.0)
