"""McNemar's exact test: two agents, one run each on the same tasks."""

from math import comb
from typing import NamedTuple

from cab.scoring.errors import TooFewRuns
from cab.scoring.introspection.field_texts import with_field_texts


@with_field_texts
class McNemar(NamedTuple):
    """The outcome of the test."""

    p: float
    """Two-sided."""
    only_a: int
    """Tasks that only A passed."""
    only_b: int
    """Tasks that only B passed."""


def mcnemar_test(pairs: int, only_a: int, only_b: int) -> McNemar:
    """Return the chance of so uneven a split of the tasks that only one of the two passed.

    min(1, 2 * sum for i = 0 to min(b, c) of C(b+c, i) / 2^(b+c)); 1 where both passed the same
    tasks.

    Args:
        pairs: Tasks that both were run on, once each; at least 1.
        only_a: b, those that only A passed.
        only_b: c, those that only B passed.

    Raises:
        TooFewRuns: There is no pair.
        ValueError: A count is negative or the counts exceed the pairs.

    Source:
        McNemar 1947, Psychometrika 12, 153-157; exact form: the binomial sign test.
    """
    if pairs < 1:
        raise TooFewRuns(pairs, 1, "McNemar's test", unit="pair")
    if min(only_a, only_b) < 0 or only_a + only_b > pairs:
        raise ValueError(f"{only_a} and {only_b} of {pairs} pairs differ")
    differing = only_a + only_b
    ways = sum(comb(differing, i) for i in range(min(only_a, only_b) + 1))
    # Whole numbers up to the one division: 2.0 ** 2000 would overflow.
    return McNemar(min(1.0, 2 * ways / 2**differing), only_a, only_b)
