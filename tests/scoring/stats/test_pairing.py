from math import isclose

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from cab.scoring import TooFewRuns
from cab.scoring.stats import clustered_mean, detectable_difference, paired_effect, sign_flip_test

VALUE = st.integers(-8, 8).map(lambda value: value / 4)
DIFFERENCES = st.dictionaries(
    st.text(max_size=2), st.lists(VALUE, min_size=1, max_size=3), min_size=2, max_size=8
)


def test_worked_by_hand() -> None:
    """Differences 1, 1 | 0 | -1 of three tasks: mean 1/4, task sums 2, 0, -1, p = 6/8."""
    # residual sums: 3/2, -1/4, -5/4; squares 36/16 + 1/16 + 25/16 = 62/16; * 3/2 = 93/16; / 16
    effect = paired_effect({"a": [1, 1], "b": [0], "c": [-1], "d": []})
    assert effect.mean.mean == 1 / 4
    assert isclose(effect.mean.standard_error, (93 / 16) ** 0.5 / 4, abs_tol=1e-15)
    # |+-2 +-1| >= 1 holds for all of the signs
    assert effect.test.p == 1
    assert effect.detectable == detectable_difference(effect.mean.standard_error, 3)


def test_pairs_that_differ_alike() -> None:
    """Two tasks that differ by 1 each: no spread, p = 2/4, and no detectable difference."""
    effect = paired_effect({"a": [1], "b": [1]})
    assert effect.interval is None
    assert effect.test.p == 0.5
    assert effect.detectable is None


def test_one_task_is_an_error() -> None:
    """No pair, and pairs of one task only, say nothing of other tasks."""
    for differences in ({}, {"a": [1.0, 2.0]}):
        with pytest.raises(TooFewRuns, match="2 tasks"):
            paired_effect(differences)


@settings(deadline=None)  # their first call may take long
@given(st.lists(VALUE, min_size=2, max_size=20))
def test_one_pair_a_task_is_the_paired_t_interval(values: list[float]) -> None:
    """With one pair per task the interval is that of scipy's one-sample t test, to 1e-12."""
    effect = paired_effect({str(index): [value] for index, value in enumerate(values)})
    if len(set(values)) > 1:
        assert effect.interval is not None
        theirs = scipy_stats.ttest_1samp(np.array(values), 0).confidence_interval(0.95)
        assert effect.interval.low == pytest.approx(theirs.low, abs=1e-12)
        assert effect.interval.high == pytest.approx(theirs.high, abs=1e-12)


@given(DIFFERENCES)
def test_swapping_a_and_b_negates_the_effect(differences: dict[str, list[float]]) -> None:
    """B against A is the mirror of A against B; all parts are the statistics of their own files."""
    there = paired_effect(differences)
    back = paired_effect({task: [-x for x in each] for task, each in differences.items()})
    assert isclose(back.mean.mean, -there.mean.mean, abs_tol=1e-12)
    assert back.test == there.test
    assert there.mean == clustered_mean(differences)
    assert there.test == sign_flip_test([sum(differences[task]) for task in sorted(differences)])
