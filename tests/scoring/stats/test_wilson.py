from math import isclose

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint

from cab.scoring import TooFewRuns
from cab.scoring.stats import Interval, wilson_interval

RUNS = st.integers(1, 500).flatmap(lambda runs: st.tuples(st.integers(0, runs), st.just(runs)))
CONFIDENCE = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99])


def ends(interval: Interval) -> tuple[float, float]:
    assert interval.high is not None
    return interval.low, interval.high


def test_worked_by_hand() -> None:
    """With z = 1: 1 of 2 gives (1/2 + 1/4 -+ sqrt(1/8 + 1/16)) / (3/2) = 1/2 -+ 1/sqrt(12)."""
    one_sigma = 0.6826894921370859
    low, high = ends(wilson_interval(1, 2, one_sigma))
    assert isclose(low, 0.5 - 12**-0.5, abs_tol=1e-12)
    assert isclose(high, 0.5 + 12**-0.5, abs_tol=1e-12)


def test_one_run_says_little() -> None:
    """A single pass gives 1/(1 + z^2) to 1, a single failure 0 to z^2/(1 + z^2)."""
    z2 = 1.959963984540054**2
    assert ends(wilson_interval(1, 1)) == pytest.approx((1 / (1 + z2), 1), abs=1e-12)
    assert ends(wilson_interval(0, 1)) == pytest.approx((0, z2 / (1 + z2)), abs=1e-12)


def test_no_run_is_an_error() -> None:
    """Without runs there is no pass rate; impossible counts are errors too."""
    with pytest.raises(TooFewRuns, match="needs 1 run or more; there are 0") as caught:
        wilson_interval(0, 0)
    assert (caught.value.runs, caught.value.needed) == (0, 1)
    for passed in (-1, 3):
        with pytest.raises(ValueError, match="of 2 runs"):
            wilson_interval(passed, 2)
    with pytest.raises(ValueError, match="confidence"):
        wilson_interval(1, 2, 95)


@settings(deadline=None)  # their first call may take long
@given(RUNS, CONFIDENCE)
def test_agrees_with_scipy_and_statsmodels(counts: tuple[int, int], confidence: float) -> None:
    """Both ends are those of scipy and of statsmodels, to 1e-12."""
    mine = ends(wilson_interval(*counts, confidence))
    scipy_ci = binomtest(*counts).proportion_ci(confidence, method="wilson")
    assert mine == pytest.approx((scipy_ci.low, scipy_ci.high), abs=1e-12)
    assert mine == pytest.approx(
        proportion_confint(*counts, alpha=1 - confidence, method="wilson"), abs=1e-12
    )


@given(RUNS)
def test_failing_is_the_mirror_of_passing(counts: tuple[int, int]) -> None:
    """Swapping passes and failures mirrors the interval at 1/2, and it holds the rate."""
    passed, runs = counts
    low, high = ends(wilson_interval(passed, runs))
    assert 0 <= low <= passed / runs <= high <= 1
    mirror = ends(wilson_interval(runs - passed, runs))
    assert mirror == pytest.approx((1 - high, 1 - low), abs=1e-12)
