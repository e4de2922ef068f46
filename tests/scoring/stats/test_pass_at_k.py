from fractions import Fraction
from itertools import combinations
from math import comb, isclose

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from cab.scoring import TooFewRuns
from cab.scoring.stats import pass_at_k, pass_hat_k


def shaped(most: int) -> st.SearchStrategy[tuple[int, int, int]]:
    """Return n, c, k with 0 <= c <= n and 1 <= k <= n."""
    return st.integers(1, most).flatmap(
        lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))
    )


def test_worked_by_hand() -> None:
    """2 of 5 passed: C(3,2)/C(5,2) = 3/10 of the pairs hold no pass, C(2,2)/C(5,2) = 1/10 only."""
    assert pass_at_k(5, 2, 2) == 7 / 10
    assert pass_hat_k(5, 2, 2) == 1 / 10


def test_one_run() -> None:
    """With one run, both are the run's own outcome; with k = 1 both are the pass rate."""
    for statistic in (pass_at_k, pass_hat_k):
        assert (statistic(1, 0, 1), statistic(1, 1, 1)) == (0, 1)
        assert statistic(7, 3, 1) == 3 / 7


@pytest.mark.parametrize("statistic", [pass_at_k, pass_hat_k])
def test_more_than_was_run_is_an_error(statistic: type) -> None:
    """k > n, and no runs at all, are errors that say how many are missing."""
    with pytest.raises(TooFewRuns, match="k = 4 needs 4 runs or more; there are 3") as caught:
        statistic(3, 1, 4)
    assert (caught.value.runs, caught.value.needed) == (3, 4)
    with pytest.raises(TooFewRuns):
        statistic(0, 0, 1)
    with pytest.raises(ValueError, match="k is 0"):
        statistic(3, 1, 0)
    for passed in (-1, 4):
        with pytest.raises(ValueError, match="of 3 runs"):
            statistic(3, passed, 1)


@given(shaped(6))
def test_both_count_all_draws(shape: tuple[int, int, int]) -> None:
    """Listing every draw of k out of n runs gives exactly these shares."""
    n, c, k = shape
    draws = list(combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == float(Fraction(sum(map(any, draws)), len(draws)))
    assert pass_hat_k(n, c, k) == float(Fraction(sum(map(all, draws)), len(draws)))


@settings(deadline=None)  # their first call may take long
@given(shaped(300))
def test_agrees_with_the_product_of_the_source_and_with_scipy(shape: tuple[int, int, int]) -> None:
    """The product form printed with the source, and the hypergeometric tail, agree to 1e-12."""
    n, c, k = shape
    product = 1.0 if n - c < k else 1 - float(np.prod(1 - k / np.arange(n - c + 1, n + 1)))
    assert isclose(pass_at_k(n, c, k), product, abs_tol=1e-12)
    assert isclose(pass_hat_k(n, c, k), hypergeom(n, c, k).pmf(k), abs_tol=1e-12)


@given(shaped(40))
def test_all_is_no_easier_than_one(shape: tuple[int, int, int]) -> None:
    """pass^k <= c/n <= pass@k, and failing everything is not passing once, mirrored."""
    n, c, k = shape
    assert pass_hat_k(n, c, k) <= c / n <= pass_at_k(n, c, k)
    assert isclose(pass_at_k(n, c, k), 1 - pass_hat_k(n, n - c, k), abs_tol=1e-12)
    assert pass_at_k(n, n, k) == 1 == comb(n, 0)
