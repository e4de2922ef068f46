from itertools import product
from math import fsum, isclose

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test

from cab.scoring import TooFewRuns
from cab.scoring.stats import sign_flip_test

SUMS = st.lists(st.integers(-20, 20), min_size=1, max_size=9)


def test_worked_by_hand() -> None:
    """Of the 8 signs of 1, 2, 3 only + + + and - - - reach 6: p = 2/8."""
    assert sign_flip_test([1, 2, 3]) == (2 / 8, True, 8, 2 / 8)


def test_ties_count() -> None:
    """1, 1, -1 sum to 1: six of eight choices reach 1 with a tie, two reach 3: p = 1."""
    assert sign_flip_test([1, 1, -1]).p == 1


def test_ties_of_a_rounding_count() -> None:
    """0.1 + 0.2 - 0.3 is no exact 0 in binary; flipping either side gives the same total."""
    # |0.1 + 0.2 + 0.3 - 0.6| = 0: every choice is as far
    assert sign_flip_test([0.1, 0.2, 0.3, -0.6]).p == 1


def test_one_task_proves_nothing() -> None:
    """A single difference is as far from 0 with either sign, and no difference is not evidence."""
    assert sign_flip_test([5]).p == 1
    assert sign_flip_test([0, 0]).p == 1


def test_nothing_to_test_is_an_error() -> None:
    """No task and no draw are errors."""
    with pytest.raises(TooFewRuns, match="1 task or more"):
        sign_flip_test([])
    with pytest.raises(TooFewRuns, match="1 draw or more"):
        sign_flip_test([1], draws=0)


@given(SUMS)
def test_listing_all_signs_gives_p(sums: list[int]) -> None:
    """Up to 16 tasks p is the share of all choices of signs that reach as far."""
    totals = [
        abs(sum(sign * x for sign, x in zip(signs, sums, strict=True)))
        for signs in product((1, -1), repeat=len(sums))
    ]
    far = abs(sum(sums))
    assert sign_flip_test(sums).p == sum(total >= far for total in totals) / len(totals)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-640, 640).map(lambda n: n / 64), min_size=2, max_size=9))
def test_agrees_with_scipy(sums: list[float]) -> None:
    """scipy's exact one-sample permutation test of the mean gives the same p, to 1e-12.

    Sums of such numbers are exact in both: of others scipy takes some ties for none.
    """
    theirs = permutation_test(
        (np.array(sums),),
        lambda x, axis: np.abs(np.sum(x, axis=axis)),
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        n_resamples=np.inf,
    )
    mine = sign_flip_test(sums).p
    # scipy counts ties within 1e-14 of the statistic, which is 0 where the sum is
    if abs(fsum(sums)) > 1e-9:
        assert isclose(mine, float(theirs.pvalue), abs_tol=1e-12)
    else:
        assert mine == 1


def test_many_tasks_are_drawn() -> None:
    """With 17 tasks of one sign no draw of a seed reaches as far: p = 1 / (m + 1), never 0."""
    result = sign_flip_test([1.0] * 17, draws=999)
    assert result == (1 / 1000, False, 999, 1 / 1000)


def test_draws_come_near_the_exact_p() -> None:
    """Drawn p of 17 tasks lies within four standard errors of the exact one, 2 * P(Bin >= 12)."""
    sums = [1.0] * 12 + [-1.0] * 5
    # P(|12 - 5| or farther) = 2 * (C(17,12) + ... + C(17,17)) / 2^17
    exact = 2 * (6188 + 2380 + 680 + 136 + 17 + 1) / 2**17
    drawn = sign_flip_test(sums)
    assert not drawn.exact
    assert abs(drawn.p - exact) < 4 * (exact * (1 - exact) / 9999) ** 0.5
    assert sign_flip_test(sums) == drawn
    assert sign_flip_test(sums, seed=7) != drawn


@given(SUMS)
def test_swapping_a_and_b_changes_nothing(sums: list[int]) -> None:
    """The test is two-sided: negating all differences leaves p, which is never below the least."""
    result = sign_flip_test(sums)
    assert sign_flip_test([-x for x in sums]) == result
    assert result.smallest_p <= result.p <= 1
