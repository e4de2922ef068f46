import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.scoring.stats import both_rates, wilson_interval

COUNT = st.integers(0, 100)


def test_worked_by_hand() -> None:
    """3 passed, 1 failed, 2 broken: 3/4 without them, 3/6 with them, each with its interval."""
    rates = both_rates(3, 1, 2)
    assert rates.without == (3 / 4, wilson_interval(3, 4))
    assert rates.within == (3 / 6, wilson_interval(3, 6))


def test_nothing_decided_has_no_rate() -> None:
    """Without cells neither rate is defined; with broken cells alone only the second is."""
    assert both_rates(0, 0, 0) == ((None, None), (None, None))
    rates = both_rates(0, 0, 1)
    assert rates.without.value is None
    assert rates.within.value == 0


def test_one_cell_and_negative_counts() -> None:
    """One passed cell is a rate of 1 either way; a negative count is an error."""
    assert both_rates(1, 0, 0).without.value == 1 == both_rates(1, 0, 0).within.value
    for counts in ((-1, 0, 0), (0, -1, 0), (0, 0, -1)):
        with pytest.raises(ValueError, match="passed"):
            both_rates(*counts)


@given(COUNT, COUNT, COUNT)
def test_broken_cells_never_raise_the_rate(passed: int, failed: int, broken: int) -> None:
    """Counting the broken cells never gives a higher rate than leaving them out."""
    rates = both_rates(passed, failed, broken)
    if rates.without.value is not None and rates.within.value is not None:
        assert rates.within.value <= rates.without.value
