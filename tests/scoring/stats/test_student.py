from math import isclose, pi

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from cab.scoring.stats import student_cdf, student_quantile

PROBABILITY = st.floats(0.001, 0.999)
FREEDOM = st.integers(1, 400)


def test_one_degree_of_freedom_is_the_cauchy_distribution() -> None:
    """With v = 1, P(T <= 1) = 1/2 + atan(1)/pi = 3/4; with v = 2 it is 1/2 + 1/(2 sqrt 3)."""
    assert student_cdf(1, 1) == 0.5 + (pi / 4) / pi
    assert isclose(student_cdf(1, 2), 0.5 + 0.5 / 3**0.5, abs_tol=1e-15)
    assert isclose(student_quantile(0.75, 1), 1, abs_tol=1e-14)


def test_the_median_is_zero() -> None:
    """Half of the distribution lies below 0."""
    assert student_cdf(0, 7) == 0.5
    assert student_quantile(0.5, 7) == 0


@settings(deadline=None)  # their first call may take long
@given(PROBABILITY, FREEDOM)
def test_quantiles_are_those_of_scipy(probability: float, freedom: int) -> None:
    """Quantile and distribution agree with scipy to 1e-12."""
    t = student_quantile(probability, freedom)
    assert isclose(t, scipy_stats.t.ppf(probability, freedom), rel_tol=1e-12, abs_tol=1e-12)
    assert isclose(student_cdf(t, freedom), scipy_stats.t.cdf(t, freedom), abs_tol=1e-12)


@given(PROBABILITY, FREEDOM)
def test_the_quantile_undoes_the_distribution(probability: float, freedom: int) -> None:
    """P(T <= quantile of p) is p."""
    t = student_quantile(probability, freedom)
    assert isclose(student_cdf(t, freedom), probability, abs_tol=1e-13)


def test_out_of_range_is_an_error() -> None:
    """Without degrees of freedom, or without a probability, there is no number."""
    with pytest.raises(ValueError, match="0 degrees of freedom"):
        student_cdf(1, 0)
    with pytest.raises(ValueError, match="probability is 1"):
        student_quantile(1, 3)
