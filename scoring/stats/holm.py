"""Holm's correction: p values of many comparisons at once."""

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the adjusted p values, in the order given.

    Sorted rising, number j of m becomes max over i <= j of min(1, (m - i + 1) * p_i). Rejecting
    what is at most a keeps the chance of any false rejection at a or below, however the
    comparisons depend on one another.

    Args:
        p_values: Between 0 and 1; ties are adjusted alike. None at all gives an empty list.

    Raises:
        ValueError: A p value is out of range.

    Source:
        Holm 1979, Scand. J. Statist. 6, 65-70.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    for p in p_values:
        if not 0 <= p <= 1:
            raise ValueError(f"{p} is not a p value")
    adjusted = [0.0] * len(p_values)
    reached = 0.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, index in enumerate(order):
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = reached
    return adjusted
