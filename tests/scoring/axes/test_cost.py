import pytest
from pydantic import ValidationError

from cab.scoring import sum_calls
from cab.scoring.axes.cost import Cost, score_cost
from tests.scoring.builders import end, opening


def test_the_cost_of_a_passed_cell() -> None:
    """With every price known the cost is their sum, as exact text, with its source."""
    calls = [end(f"c{n}", cost_usd="0.0001", price_source="upstream") for n in range(3)]
    axis = score_cost(sum_calls(calls), passed=1)
    assert axis.model_dump() == {
        "cost_usd": "0.0003",
        "known_cost_usd": "0.0003",
        "cost_usd_per_correct_task": "0.0003",
        "priced_calls": 3,
        "unpriced_calls": 0,
        "price_sources": ["upstream"],
    }


@pytest.mark.parametrize("passed", [0, None])
def test_the_cost_of_a_pass_needs_a_pass(passed: int | None) -> None:
    """A cell that did not pass has a cost, and no cost of a pass."""
    axis = score_cost(sum_calls([end(cost_usd="1E+1")]), passed)
    assert (axis.cost_usd, axis.cost_usd_per_correct_task) == ("10", None)


def test_an_unknown_price_is_not_free() -> None:
    """One price missing makes the cost null, and says what is known."""
    axis = score_cost(sum_calls([end("a", cost_usd="2"), end("b")]), passed=1)
    assert (axis.cost_usd, axis.known_cost_usd) == (None, "2")
    assert axis.cost_usd_per_correct_task is None
    assert (axis.priced_calls, axis.unpriced_calls) == (1, 1)


def test_no_call_cost_nothing() -> None:
    """Without a call an opened cell cost 0, which was measured; of one that was not nothing is known."""
    assert score_cost(sum_calls([opening()]), passed=0).cost_usd == "0"
    assert score_cost(sum_calls([]), passed=0) == Cost()
    assert score_cost(None, passed=1) == Cost()


def test_an_amount_in_a_file_is_checked() -> None:
    """A cost that is not an amount of money is refused where a file is read."""
    with pytest.raises(ValidationError, match="not an amount of US dollars"):
        Cost.model_validate({"cost_usd": "cheap"})
