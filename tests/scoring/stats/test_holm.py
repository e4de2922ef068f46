import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from cab.scoring.stats import holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def test_worked_by_hand() -> None:
    """0.01 * 3, 0.02 * 2, 0.5 * 1, in the order given."""
    assert holm([0.5, 0.01, 0.02]) == [0.5, 0.03, 0.04]


def test_none_and_one() -> None:
    """No comparison needs no correction, a single one stays as it is."""
    assert holm([]) == []
    assert holm([0.04]) == [0.04]


def test_ties_are_adjusted_alike() -> None:
    """Equal p values stay equal, and none exceeds 1."""
    assert holm([0.02, 0.02, 0.9]) == [0.06, 0.06, 0.9]
    assert holm([0.6, 0.6]) == [1, 1]


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_what_is_not_a_p_value_is_an_error(p: float) -> None:
    """A number outside 0 to 1 is refused."""
    with pytest.raises(ValueError, match="not a p value"):
        holm([0.5, p])


@settings(max_examples=30, deadline=None)  # their first call may take long
@given(P_VALUES)
def test_agrees_with_statsmodels(p_values: list[float]) -> None:
    """Adjusted values are those of statsmodels, to 1e-12."""
    _, theirs, _, _ = multipletests(p_values, method="holm")
    assert holm(p_values) == pytest.approx(list(theirs), abs=1e-12)


@given(P_VALUES)
def test_never_smaller_and_never_past_bonferroni(p_values: list[float]) -> None:
    """Each adjusted value lies between the raw one and Bonferroni's, in the same order."""
    adjusted = holm(p_values)
    for raw, value in zip(p_values, adjusted, strict=True):
        assert raw <= value <= min(1, len(p_values) * raw)
    ranked = sorted(zip(p_values, adjusted, strict=True))
    assert [value for _, value in ranked] == sorted(adjusted)
