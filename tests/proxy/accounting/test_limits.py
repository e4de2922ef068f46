from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.accounting.limits import KeyLimits

COUNTS = st.none() | st.integers(1, 2**53)
MODELS = st.none() | st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=5).map(tuple)
MONEY = st.none() | st.decimals(Decimal("1e-9"), Decimal("1e9"), allow_nan=False, places=9)


UNKNOWN = st.sampled_from([None, "charge", "exhaust", "ignore"])
POSITIVE = MONEY.filter(lambda m: m is None or m > 0)


@given(st.builds(KeyLimits, COUNTS, COUNTS, POSITIVE, COUNTS, UNKNOWN, MODELS))
def test_limits_pass_through_a_key(limits: KeyLimits) -> None:
    """A key gives back the limits that were put into it, money to the last digit."""
    assert KeyLimits.from_claims(limits.claims()) == limits


def test_no_limit_is_no_claim() -> None:
    """A limit that is not set is not named, and one that is not named is none."""
    assert KeyLimits().claims() == {}
    assert KeyLimits.from_claims({"sub": "cell"}) == KeyLimits()
    assert KeyLimits(max_cost_usd=Decimal("1E+1")).claims() == {"max_cost_usd": "10"}


@pytest.mark.parametrize("name", ["max_calls", "max_tokens", "max_concurrency"])
@pytest.mark.parametrize("value", [0, -1, "3", 1.5, True, []])
def test_a_count_must_be_one(name: str, value: object) -> None:
    """What is no count above 0 is refused by its name, never taken for no limit."""
    with pytest.raises(ValueError, match=f"{name} must be a whole number"):
        KeyLimits.from_claims({name: value})


@pytest.mark.parametrize("value", ["", "Charge", 1, True, ["charge"]])
def test_on_unknown_is_one_of_three_words(value: object) -> None:
    """Any other word is refused, with those that are known."""
    with pytest.raises(ValueError, match="on_unknown must be one of charge, exhaust, ignore"):
        KeyLimits.from_claims({"on_unknown": value})


@pytest.mark.parametrize("value", [1, 0.5, "0", "-1", "NaN", "Infinity", "much", {}, "1e9999999"])
def test_money_must_be_decimal_text(value: object) -> None:
    """Money that is no decimal text above 0 is refused."""
    with pytest.raises(ValueError, match="max_cost_usd must be decimal text"):
        KeyLimits.from_claims({"max_cost_usd": value})


@pytest.mark.parametrize("value", ["gpt-5", [], [""], [1], ["a" * 257], ["a"] * 65, {}])
def test_models_must_be_patterns(value: object) -> None:
    """What is no list of patterns is refused, never taken for all models."""
    with pytest.raises(ValueError, match="models must be a list of 1 to 64 patterns"):
        KeyLimits.from_claims({"models": value})
