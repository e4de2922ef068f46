from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.scoring.stats import per_correct

AMOUNT = st.one_of(st.none(), st.integers(0, 10**9), st.floats(0, 1e9), st.decimals(0, 1000))
ATTEMPTS = st.lists(st.tuples(AMOUNT, st.booleans()))


def test_failures_are_paid_for() -> None:
    """100 passed, 250 failed and 50 passed: 400 / 2 = 200, not 150 / 2."""
    result = per_correct([(100, True), (250, False), (50, True)])
    assert (result.value, result.coverage) == (200, 1)
    assert (result.correct, result.attempts, float(result.known)) == (2, 3, 400)


def test_none_correct_is_not_zero() -> None:
    """Where nothing passed there is no amount per pass, and the coverage is still reported."""
    assert per_correct([(100, False)]).value is None
    assert per_correct([(100, False)]).coverage == 1


def test_no_attempt_has_neither() -> None:
    """Without attempts neither value nor coverage is defined."""
    result = per_correct([])
    assert (result.value, result.coverage, result.attempts) == (None, None, 0)


def test_one_missing_amount_hides_the_value() -> None:
    """3 of 4 attempts known: no value, coverage 3/4, and what is known."""
    result = per_correct([(100, True), (None, False), (7, True), (0, False)])
    assert (result.value, result.coverage, float(result.known)) == (None, 3 / 4, 107)


def test_a_measured_zero_is_a_zero() -> None:
    """An attempt that took nothing and passed makes 0 per pass."""
    assert per_correct([(0, True)]).value == 0


def test_money_is_summed_exactly() -> None:
    """Ten cents three times are thirty cents, which binary fractions are not."""
    result = per_correct([(Decimal("0.10"), True)] * 3)
    assert result.known == Fraction(3, 10)
    assert result.value == 0.1


def test_negative_amounts_are_an_error() -> None:
    """An attempt cannot give back."""
    with pytest.raises(ValueError, match="took -1"):
        per_correct([(-1, True)])


@given(ATTEMPTS, st.randoms(use_true_random=False))
def test_order_does_not_matter(attempts: list[tuple[float | None, bool]], random: object) -> None:
    """Any order gives the same numbers, and the value times the passes is what was spent."""
    result = per_correct(attempts)
    shuffled = list(attempts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert per_correct(shuffled) == result
    if result.value is not None:
        assert float(result.known) == pytest.approx(result.value * result.correct, rel=1e-12)
