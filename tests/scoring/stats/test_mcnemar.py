from math import isclose

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar

from cab.scoring import TooFewRuns
from cab.scoring.stats import mcnemar_test, sign_flip_test

COUNTS = st.integers(0, 200)


def test_worked_by_hand() -> None:
    """1 against 5: 2 * (C(6,0) + C(6,1)) / 2^6 = 14/64."""
    assert mcnemar_test(10, 1, 5) == (14 / 64, 1, 5)


def test_one_pair_proves_nothing() -> None:
    """A single task gives p = 1, and so do agents that passed the same tasks."""
    assert mcnemar_test(1, 1, 0).p == 1
    assert mcnemar_test(1, 0, 0).p == 1
    assert mcnemar_test(8, 3, 3).p == 1


def test_what_cannot_be_is_an_error() -> None:
    """No pair, negative counts, and more differences than pairs are errors."""
    with pytest.raises(TooFewRuns, match="1 pair or more"):
        mcnemar_test(0, 0, 0)
    for counts in ((-1, 0), (0, -1), (2, 2)):
        with pytest.raises(ValueError, match="of 3 pairs differ"):
            mcnemar_test(3, *counts)


def test_thousands_of_pairs_do_not_overflow() -> None:
    """2 of 4000 is a tiny p, not an error and not a NaN."""
    assert 0 <= mcnemar_test(4000, 1, 2000).p < 1e-200


@settings(deadline=None)  # their first call may take long
@given(COUNTS, COUNTS)
def test_agrees_with_statsmodels_and_scipy(only_a: int, only_b: int) -> None:
    """p is that of statsmodels' exact test and of scipy's sign test, to 1e-12."""
    mine = mcnemar_test(only_a + only_b + 1, only_a, only_b).p
    table = [[1, only_a], [only_b, 0]]
    assert isclose(mine, min(1.0, mcnemar(table, exact=True).pvalue), abs_tol=1e-12)
    if only_a + only_b:
        assert isclose(mine, binomtest(only_a, only_a + only_b).pvalue, abs_tol=1e-12)


@given(st.integers(0, 7), st.integers(0, 7))
def test_it_is_the_sign_flip_of_passes(only_a: int, only_b: int) -> None:
    """For one run each, flipping the signs of the differing tasks gives the same p."""
    flips = sign_flip_test([0, *[1] * only_a, *[-1] * only_b])
    assert isclose(mcnemar_test(99, only_a, only_b).p, flips.p, abs_tol=1e-15)
    assert mcnemar_test(99, only_b, only_a).p == mcnemar_test(99, only_a, only_b).p
