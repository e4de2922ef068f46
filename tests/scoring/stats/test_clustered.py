from math import isclose, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from statsmodels.api import OLS

from cab.scoring import TooFewRuns
from cab.scoring.stats import clustered_mean

VALUE = st.floats(-1000, 1000).map(lambda value: round(value, 3))
CLUSTERS = st.dictionaries(
    st.text(max_size=3), st.lists(VALUE, min_size=1, max_size=6), min_size=2, max_size=12
)


def test_worked_by_hand() -> None:
    """Means 1/2: residuals sum to 1 and -1; sqrt(2/1 * (1 + 1)) / 4 = 1/2."""
    result = clustered_mean({"a": [1, 1], "b": [0, 0]})
    assert result == (0.5, 0.5, 2, 4)


def test_repeating_runs_of_a_task_adds_no_certainty() -> None:
    """Copies of every run leave the error as it was; an unclustered one would have halved."""
    once = clustered_mean({"a": [1], "b": [0], "c": [1]})
    copies = clustered_mean({"a": [1] * 4, "b": [0] * 4, "c": [1] * 4})
    assert isclose(once.standard_error, copies.standard_error, abs_tol=1e-15)


def test_the_interval_is_students() -> None:
    """With 2 clusters the half width is 12.7 errors, t of 1 degree of freedom."""
    interval = clustered_mean({"a": [1], "b": [0]}).interval()
    assert interval is not None
    half = 12.706204736174698 * 0.5
    assert (interval.low, interval.high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-12)
    with pytest.raises(ValueError, match="confidence"):
        clustered_mean({"a": [1], "b": [0]}).interval(1)


def test_one_task_says_nothing_of_others() -> None:
    """No task and one task are errors, also where another has no values."""
    for clusters in ({}, {"a": [1.0, 0.0]}, {"a": [1.0], "b": []}):
        with pytest.raises(TooFewRuns, match="2 tasks or more") as caught:
            clustered_mean(clusters)
        assert caught.value.runs == len([values for values in clusters.values() if values])


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_value_that_is_not_finite_is_an_error(value: float) -> None:
    """What has no mean is a ValueError."""
    with pytest.raises(ValueError, match=r"finite|NaN"):
        clustered_mean({"a": [value], "b": [1]})


@settings(deadline=None)  # their first call may take long
@given(CLUSTERS)
def test_agrees_with_statsmodels(clusters: dict[str, list[float]]) -> None:
    """Mean and error are those of a regression on a constant with clustered errors, to 1e-12."""
    values = np.array([value for each in clusters.values() for value in each])
    groups = np.repeat(np.arange(len(clusters)), [len(each) for each in clusters.values()])
    fit = OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": groups})
    mine = clustered_mean(clusters)
    scale = max(1.0, float(np.abs(values).max()))
    assert isclose(mine.mean, fit.params[0], abs_tol=1e-12 * scale)
    assert isclose(mine.standard_error, fit.bse[0], abs_tol=1e-12 * scale)


@settings(deadline=None)  # their first call may take long
@given(st.lists(VALUE, min_size=2, max_size=30))
def test_one_run_a_task_is_the_ordinary_error(values: list[float]) -> None:
    """With one value per task it is the standard error of the mean, as in scipy."""
    mine = clustered_mean({str(index): [value] for index, value in enumerate(values)})
    assert isclose(mine.standard_error, scipy_stats.sem(values), abs_tol=1e-9)
    assert isclose(mine.standard_error, np.std(values, ddof=1) / sqrt(len(values)), abs_tol=1e-9)


@given(CLUSTERS, VALUE)
def test_a_shift_moves_the_mean_alone(clusters: dict[str, list[float]], shift: float) -> None:
    """Adding a constant moves the mean by it and leaves the error; order does not matter at all."""
    mine = clustered_mean(clusters)
    moved = clustered_mean({k: [v + shift for v in each] for k, each in clusters.items()})
    assert isclose(moved.mean, mine.mean + shift, abs_tol=1e-9)
    assert isclose(moved.standard_error, mine.standard_error, abs_tol=1e-9)
    assert clustered_mean({k: clusters[k][::-1] for k in reversed(list(clusters))}) == mine
