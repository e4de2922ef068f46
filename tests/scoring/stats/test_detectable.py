from math import isclose

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from cab.scoring import TooFewRuns
from cab.scoring.stats import detectable_difference


def test_many_tasks_come_to_two_point_eight_errors() -> None:
    """With thousands of tasks it is z(0.975) + z(0.8) = 1.960 + 0.842 = 2.802 standard errors."""
    found = detectable_difference(0.1, 5001)
    assert found == pytest.approx(0.2802, abs=1e-4)


def test_two_tasks_resolve_next_to_nothing() -> None:
    """With one degree of freedom it is 12.706 + tan(0.3 pi) = 14.08 standard errors."""
    # t of 1 degree of freedom at 0.8 is tan(pi * 0.3) = 1.376382
    assert detectable_difference(1, 2) == pytest.approx(12.706204736 + 1.376381920, abs=1e-8)


def test_no_spread_says_nothing() -> None:
    """Pairs that all differ alike do not show what could have been found: None, not 0."""
    assert detectable_difference(0, 10) is None


def test_out_of_range_is_an_error() -> None:
    """One task, a negative error and percentages are errors."""
    with pytest.raises(TooFewRuns, match="2 tasks or more; there is 1"):
        detectable_difference(1, 1)
    with pytest.raises(ValueError, match="standard error of -1"):
        detectable_difference(-1, 3)
    with pytest.raises(ValueError, match="power"):
        detectable_difference(1, 3, power=80)
    with pytest.raises(ValueError, match="confidence"):
        detectable_difference(1, 3, confidence=95)


@settings(deadline=None)  # their first call may take long
@given(
    st.floats(1e-6, 1e6),
    st.integers(2, 300),
    st.sampled_from([0.9, 0.95, 0.99]),
    st.sampled_from([0.5, 0.8, 0.9]),
)
def test_agrees_with_scipys_quantiles(
    error: float, clusters: int, confidence: float, power: float
) -> None:
    """The formula with scipy's quantiles gives the same, to 1e-12."""
    t = scipy_stats.t(clusters - 1)
    theirs = (t.ppf((1 + confidence) / 2) + t.ppf(power)) * error
    mine = detectable_difference(error, clusters, confidence=confidence, power=power)
    assert mine is not None
    assert isclose(mine, theirs, rel_tol=1e-12)


@given(st.integers(2, 100))
def test_more_tasks_resolve_more(clusters: int) -> None:
    """At the same error, one task more lowers what can be found."""
    few, more = detectable_difference(1, clusters), detectable_difference(1, clusters + 1)
    assert few is not None
    assert more is not None
    assert more < few
