from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.scoring import BadRecord
from cab.scoring.ledger.call_stats import failure_class, has_succeeded, median, p95, quantile
from cab.scoring.ledger.money import money
from tests.scoring.builders import end, start, summed, uncounted


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"status": None}, True),
        ({"status": 500}, False),
        ({"end_reason": "client_gone"}, False),
        ({"end_reason": "client_gone", "ttft_ms": 3.0}, True),
        ({"end_reason": "client_gone", "ttft_ms": 3.0, "status": 500}, False),
        ({"end_reason": "upstream_cut", "ttft_ms": 3.0}, False),
    ],
)
def test_what_counts_as_an_answer(changes: dict[str, Any], expected: bool) -> None:
    """An answer came to its end with a good status, or had begun when the client left."""
    assert has_succeeded(end(**changes)) is expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"end_reason": "upstream_error", "status": 429}, "rate_limited"),
        ({"end_reason": "upstream_error", "status": 400}, "refused_request"),
        ({"end_reason": "upstream_error", "status": 503}, "endpoint"),
        ({"end_reason": "upstream_error", "status": None}, "endpoint"),
        ({"end_reason": "completed", "status": 401}, "refused_request"),
        ({"end_reason": "timeout", "status": 504}, "network"),
        ({"end_reason": "upstream_cut", "status": 200}, "network"),
        ({"end_reason": "upstream_unreachable", "status": 502}, "network"),
        ({"end_reason": "client_gone", "status": 200}, "client_gone"),
        ({"end_reason": "crash", "status": None}, "crash"),
    ],
)
def test_failures_have_a_class(changes: dict[str, Any], expected: str) -> None:
    """Who is to blame for a failure is told from how the call ended and from its status."""
    assert failure_class(end(**changes)) == expected


def test_prices_are_summed_exactly() -> None:
    """Ten times ten cents are one dollar, and a price is kept to its last digit."""
    calls = [end(f"c{n}", cost_usd="0.1", price_source="upstream") for n in range(10)]
    sums = summed([*calls, end("z", cost_usd="0.00000000000000000000000000001234")])
    assert sums.cost.value == Decimal("1.00000000000000000000000000001234")
    assert (sums.cost.priced, sums.cost.missing) == (11, 0)
    assert sums.cost.price_sources == ("unnamed", "upstream")


def test_an_unknown_price_makes_the_sum_unknown() -> None:
    """One call without a price, or without an end, leaves only what is known."""
    for other in (end("b"), uncounted("b"), start("b")):
        cost = summed([end("a", cost_usd=0.25), other]).cost
        assert (cost.value, cost.known, cost.missing) == (None, Decimal("0.25"), 1)


def test_what_never_cost_needs_no_price() -> None:
    """A request that never reached the endpoint leaves no gap in the cost."""
    gone = uncounted("b", end_reason="upstream_unreachable", status=502)
    assert summed([end("a", cost_usd="1"), gone]).cost.value == 1


@pytest.mark.parametrize(
    "text", ["", "free", "-1", "NaN", "Infinity", "1e13", "1e-61", "0e999999999", "1e-999999999"]
)
def test_what_is_no_amount(text: str) -> None:
    """A text that is no sensible amount is none, and a call with it is named."""
    assert money(text) is None
    with pytest.raises(BadRecord, match=r"call c1: cost_usd: .* is not an amount"):
        summed([end(cost_usd=text)])


def test_a_time_that_is_none_is_named() -> None:
    """A time to first token of more than thirty years is an error that names the call."""
    with pytest.raises(BadRecord, match="call c1: ttft_ms"):
        summed([end(ttft_ms=1e13)])


def test_rejected_requests_are_no_attempts() -> None:
    """What the proxy itself turned down is counted apart; what is no completion, not at all."""
    sums = summed(
        [
            end("a", end_reason="rejected", status=401),
            end("b", endpoint="other"),
            end("c"),
            start("d"),
        ]
    )
    assert (sums.rejected, sums.attempts) == (1, 2)
    assert sums.facts.by_end_reason == {"completed": 1, "unfinished": 1}
    assert sums.facts.failures == {"unfinished": 1}


@given(st.lists(st.floats(0, 1e9), min_size=1))
def test_quantiles_lie_where_they_should(values: list[float]) -> None:
    """Half of the values are on either side of the median, and 95 % do not exceed the p95."""
    middle, high = quantile(values, median), quantile(values, p95)
    assert middle is not None
    assert high is not None
    assert sum(value <= middle for value in values) * 2 >= len(values)
    assert sum(value >= middle for value in values) * 2 >= len(values)
    assert sum(value <= high for value in values) >= 0.95 * len(values)
    assert sum(value < high for value in values) < 0.95 * len(values)


def test_no_value_has_no_quantile() -> None:
    """The median of nothing is unknown; of 1 to 20 it is 10.5, and the p95 is 19."""
    assert quantile([], median) is None
    twenty = [float(n) for n in range(1, 21)]
    assert (quantile(twenty, median), quantile(twenty, p95)) == (10.5, 19)
