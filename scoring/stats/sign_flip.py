"""Sign-flip permutation test: could a difference be chance alone?"""

from collections.abc import Sequence
from math import fsum
from typing import NamedTuple

from cab.scoring.errors import TooFewRuns
from cab.scoring.introspection.field_texts import with_field_texts
from cab.scoring.stats.seeded import DEFAULT_SEED, flipped_sums

EXACT_UP_TO = 16
"""Number of clusters up to which all 2^C ways are tried."""
DEFAULT_DRAWS = 9999
"""One less than a round number, so that p has four digits."""

_ROUNDING = 1e-12


@with_field_texts
class SignFlip(NamedTuple):
    """The outcome of the test."""

    p: float
    """Two-sided; never 0."""
    exact: bool
    """Whether all ways were tried."""
    ways: int
    """Ways that were tried: 2^C, or the draws."""
    smallest_p: float
    """The smallest p that this many clusters, or draws, can give."""


def sign_flip_test(
    sums: Sequence[float], *, draws: int = DEFAULT_DRAWS, seed: int = DEFAULT_SEED
) -> SignFlip:
    """Return the chance of a total as far from 0 if each cluster's sign were a coin toss.

    Exact: the share of the 2^C choices of signs with |sum of s_i x_i| >= |sum of x_i|. Monte Carlo,
    for more than 16 clusters: (b + 1) / (m + 1), b of m draws being as far. Totals that differ by a
    rounding count as equal, which can only raise p.

    Args:
        sums: One sum of differences per cluster, C >= 1, in any unit. Clusters flip whole, for
            their differences are not independent.
        draws: m, used for more than 16 clusters.
        seed: The same seed and sums, in the same order, give the same p.

    Raises:
        TooFewRuns: There is no cluster, or no draw.

    Source:
        Fisher 1935, The Design of Experiments, section 21; (b + 1) / (m + 1): Phipson and Smyth
        2010, https://arxiv.org/abs/1603.05766.
    """
    if not sums:
        raise TooFewRuns(0, 1, "a sign-flip test", unit="task")
    if draws < 1:
        raise TooFewRuns(draws, 1, "a sign-flip test", unit="draw")
    far = abs(fsum(sums)) - _ROUNDING * fsum(abs(x) for x in sums)
    if len(sums) <= EXACT_UP_TO:
        ways = 2 ** len(sums)
        hits = sum(abs(total) >= far for total in _half_of_all(sums))
        return SignFlip(2 * hits / ways, exact=True, ways=ways, smallest_p=2 / ways)
    total = fsum(sums)
    hits = sum(abs(total - 2 * part) >= far for part in flipped_sums(sums, draws, seed))
    p = (hits + 1) / (draws + 1)
    return SignFlip(p, exact=False, ways=draws, smallest_p=1 / (draws + 1))


def _half_of_all(sums: Sequence[float]) -> list[float]:
    """Return the totals with the first sign kept: the others are the same, negated."""
    totals = [sums[0]]
    for x in sums[1:]:
        totals = [total + signed for total in totals for signed in (x, -x)]
    return totals
