from pathlib import Path

import pytest

from cab.scoring import BadRecord
from cab.scoring.imports.reading.values import inner, inner_text, sum_known, texts, usd

HERE = Path("file.json")


def test_a_way_that_ends_before_gives_nothing() -> None:
    """Where a key is missing or its value is not an object there is None."""
    data: dict[str, object] = {"a": {"b": 1}, "c": [1]}
    assert inner(data, "a", "b") == 1
    assert inner(data, "a", "x") is None
    assert inner(data, "c", "b") is None


def test_a_sum_is_known_if_all_of_it_is() -> None:
    """One unknown part makes the sum unknown; of nothing it is 0."""
    assert (sum_known([1, 2]), sum_known([1, None]), sum_known([0.5])) == (3, None, 0.5)
    assert sum_known([0][1:]) == 0


@pytest.mark.parametrize(
    ("amount", "expected"), [(None, None), (0.0, "0.0"), (0.0425, "0.0425"), (1e-7, "0.0000001")]
)
def test_money_is_kept_as_the_file_says_it(amount: float | None, expected: str | None) -> None:
    """An amount becomes decimal text of the same digits; 0 stays 0 and unknown stays unknown."""
    assert usd(amount, HERE, "cost") == expected


@pytest.mark.parametrize("amount", [-0.01, 1e300])
def test_what_is_not_money_is_named(amount: float) -> None:
    """A negative amount, or one beyond any price, is an error that names its field."""
    with pytest.raises(BadRecord, match=r"cost: .* not an amount of US dollars"):
        usd(amount, HERE, "cost")


def test_a_text_at_a_way_is_a_text_that_says_something() -> None:
    """What is not a text, or an empty one, is None; a list of texts has nothing else in it."""
    data: dict[str, object] = {"a": {"b": "x", "c": "", "d": 1}}
    assert inner_text(data, "a", "b") == "x"
    assert (inner_text(data, "a", "c"), inner_text(data, "a", "d")) == (None, None)
    assert (texts(["a"]), texts([]), texts(["a", 1]), texts("a")) == (True, True, False, False)
