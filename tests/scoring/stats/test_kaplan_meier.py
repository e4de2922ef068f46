from math import isclose

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import CensoredData, ecdf
from statsmodels.duration.survfunc import SurvfuncRight

from cab.scoring import TooFewRuns
from cab.scoring.stats import Duration, censored_quantile, survival

LENGTHS = st.integers(1, 30).map(float)  # few enough that ties happen
DURATIONS = st.lists(st.builds(Duration, LENGTHS, st.booleans()), min_size=1, max_size=60)


def ended(*lengths: float) -> list[Duration]:
    return [Duration(length, censored=False) for length in lengths]


def cut(*lengths: float) -> list[Duration]:
    return [Duration(length, censored=True) for length in lengths]


def test_worked_by_hand() -> None:
    """Ends at 1, 3, 5, cut off at 2, 4: S = 4/5, then 4/5 * 2/3, then 0."""
    steps = survival([*ended(5, 1, 3), *cut(4, 2)])
    assert [length for length, _ in steps] == [1, 3, 5]
    assert [share for _, share in steps] == pytest.approx([4 / 5, 8 / 15, 0], abs=1e-15)
    assert censored_quantile([*ended(5, 1, 3), *cut(4, 2)], 0.5).value == 5


def test_what_was_cut_off_is_not_an_end() -> None:
    """Median of 10, 20, 30 with the time-out at 30: 20; their p95 is hidden, but at least 30."""
    durations = [*ended(10, 20), *cut(30)]
    assert censored_quantile(durations, 0.5) == (20, 20)
    assert censored_quantile(durations, 0.95) == (None, 30)
    assert censored_quantile(cut(600), 0.5) == (None, 600)


def test_one_duration_is_all_its_quantiles() -> None:
    """A single duration is median and p95."""
    assert censored_quantile(ended(7), 0.5).value == 7
    assert censored_quantile(ended(7), 0.95).value == 7


def test_an_end_at_the_time_out_comes_first() -> None:
    """A tie of an end and a cut-off: what was cut off still ran when the other ended."""
    assert survival([*ended(5), *cut(5)]) == [(5, 0.5)]


def test_thirds_are_not_missed_by_a_rounding() -> None:
    """2/3 * 1/2 is not exactly 1/3 in binary: the quantile of 2/3 is the second of three."""
    assert censored_quantile(ended(1, 2, 3), 2 / 3).value == 2


def test_no_duration_is_an_error() -> None:
    """Nothing has no median; a percentage is not a probability."""
    with pytest.raises(TooFewRuns):
        censored_quantile([], 0.5)
    with pytest.raises(ValueError, match="probability is 95"):
        censored_quantile(ended(1), 95)


@settings(deadline=None)  # their first call may take long
@given(DURATIONS)
def test_agrees_with_scipy_and_statsmodels(durations: list[Duration]) -> None:
    """S(t) is that of scipy and of statsmodels at every end, to 1e-12."""
    mine = survival(durations)
    data = CensoredData(
        uncensored=[length for length, censored in durations if not censored],
        right=[length for length, censored in durations if censored],
    )
    theirs = ecdf(data).sf
    for length, share in mine:
        assert isclose(share, float(theirs.evaluate(length)), abs_tol=1e-12)
    lengths = np.array([length for length, _ in durations])
    status = np.array([not censored for _, censored in durations])
    if status.any():
        other = SurvfuncRight(lengths, status)
        expected = dict(zip(other.surv_times, other.surv_prob, strict=True))
        shares = [share for _, share in mine]
        assert shares == pytest.approx([expected[t] for t, _ in mine], abs=1e-12)


@settings(deadline=None)  # their first call may take long
@given(st.lists(LENGTHS, min_size=1, max_size=40), st.sampled_from([0.1, 0.25, 0.5, 0.9, 0.95]))
def test_without_cut_offs_it_is_numpys_inverse(lengths: list[float], probability: float) -> None:
    """With nothing cut off the quantile is numpy's `inverted_cdf`."""
    mine = censored_quantile(ended(*lengths), probability).value
    assert mine == np.quantile(lengths, probability, method="inverted_cdf")


@given(DURATIONS)
def test_cutting_off_never_shortens(durations: list[Duration]) -> None:
    """Taking every cut-off for an end gives a median that is no longer than the honest one."""
    honest = censored_quantile(durations, 0.5)
    naive = censored_quantile(ended(*(length for length, _ in durations)), 0.5)
    assert naive.at_least <= honest.at_least
