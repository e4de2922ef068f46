from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.scoring.ledger.money import MoneyTotal
from cab.scoring.ledger.reading import find_records, iter_records
from cab.scoring.ledger.records import parse_record
from cab.scoring.ledger.totals import (
    CALL_MEMBERS,
    CallPairing,
    CallTotals,
    CellTotals,
    Total,
    total_cells,
)
from tests.scoring.builders import end_fields, line, open_fields, start_fields, unmeasured
from tests.scoring.ledgers import calls, write_ledger

OTHER = "local/aider/m/f/t"


def test_cells_are_totalled_in_one_pass(tmp_path: Path) -> None:
    """Each cell of a ledger has its own sums, calls without a cell have theirs, over all workers."""
    write_ledger(tmp_path, [*calls(3, "a"), *calls(1, None)], per_segment=3, compressed=True)
    write_ledger(tmp_path, [*calls(2, "b"), *calls(1, "a", first=4)], worker=1)
    totals = total_cells(iter_records(tmp_path))
    assert list(totals) == ["a", None, "b"]
    assert [(each.attempts, each.tokens.total.value) for each in totals.values()] == [
        (4, 480),
        (1, 120),
        (2, 240),
    ]
    assert totals["a"].latency_ms.value == 2000


def test_a_cell_can_be_chosen(tmp_path: Path) -> None:
    """The filters of reading hold for totals as well."""
    write_ledger(tmp_path, [*calls(3, "a/x"), *calls(1, "b/x")])
    assert list(total_cells(iter_records(tmp_path, prefix="b/"))) == ["b/x"]
    assert total_cells(iter_records(tmp_path, "b/")) == {}


def test_an_opened_or_sealed_cell_without_calls_has_zeros(tmp_path: Path) -> None:
    """Its zeros are measured ones; a cell that no record is about is not there at all."""
    write_ledger(tmp_path, [open_fields("a/x"), {"kind": "cell_seal", "cell_id": "b/x"}])
    assert total_cells(iter_records(tmp_path)) == {"a/x": CellTotals(), "b/x": CellTotals()}
    found = (each.fields for each in find_records(tmp_path))
    assert list(total_cells(found)) == ["a/x", "b/x"]


def totals_of(*records: dict[str, object]) -> CellTotals:
    [totals] = total_cells(parse_record(line(fields)) for fields in records).values()
    return totals


def test_what_was_not_measured_makes_a_sum_unknown() -> None:
    """A call without a count, or without its END, leaves the sum unknown and keeps what is known."""
    other = {"endpoint": "other", "may_cost": True}
    odd_calls = (
        unmeasured("b"),
        start_fields("b"),
        unmeasured("b", **other),
        start_fields("b", **other),
    )
    for odd in odd_calls:
        totals = totals_of(start_fields("a"), end_fields("a"), odd)
        assert totals.attempts == 1 + (odd["endpoint"] != "other")
        assert totals.unmeasured_calls == 1
        assert (totals.tokens.total.value, totals.tokens.total.known) == (None, 120)


def test_what_cost_nothing_needs_no_count() -> None:
    """Errors of the endpoint, rejected calls and calls that are no model calls leave sums known."""
    totals = totals_of(
        end_fields("a"),
        unmeasured("b", status=429),
        unmeasured("c", end_reason="rejected", status=400),
        unmeasured("d", endpoint="other"),
        start_fields("e", endpoint="other"),
    )
    assert (totals.attempts, totals.rejected, totals.unmeasured_calls) == (2, 1, 0)
    assert totals.tokens.total.value == 120


def test_repetitions_and_times_are_kept() -> None:
    """Repetitions are counted, and the first and last start are told whatever the order."""
    totals = totals_of(
        end_fields("a", started_at="2026-11-20T12:00:02.000000Z"),
        end_fields("b", attempt=2, retry_of="a", started_at="2026-11-20T12:00:01.000000Z"),
    )
    assert (totals.attempts, totals.repetitions) == (2, 1)
    assert (totals.first_at, totals.last_at) == (
        "2026-11-20T12:00:01.000000Z",
        "2026-11-20T12:00:02.000000Z",
    )
    assert totals_of(end_fields(endpoint="other")).first_at is None


def total(*calls: dict[str, Any]) -> CallTotals:
    totals = CallTotals()
    for call in calls:
        totals.add(call)
    return totals


def test_what_is_known_of_half_a_count_is_kept() -> None:
    """A call of which only the prompt is known makes the total unknown, and its prompt is known of it."""
    half = end_fields("b", completion_tokens=None, total_tokens=None)
    totals = total(end_fields("a"), half)
    assert totals.tokens.total == Total(220, missing=1)
    assert totals.tokens.completion == Total(20, missing=1)
    assert totals.unmeasured_calls == 1


def test_what_nobody_counted_is_no_count() -> None:
    """The 0 that a record states of a silent endpoint's answer is not taken for a measured one."""
    silent = unmeasured("b", status=504, end_reason="timeout", completion_tokens=0)
    totals = total(end_fields("a"), silent)
    assert (totals.tokens.completion.value, totals.tokens.completion.known) == (None, 20)


def test_a_price_of_a_call_that_nobody_counted_counts() -> None:
    """A price is added whoever counted the tokens; a missing one is a gap only where it may be one."""
    free = unmeasured("c", status=429)
    priced = unmeasured("b", cost_usd="0.10")
    totals = total(end_fields("a"), priced, free, {**free, "cost_usd": 0.5})
    assert totals.cost == MoneyTotal(
        Decimal("0.60"),
        2,
        missing=1,
        largest=Decimal("0.5"),
        unpriced=1,
        sources=("unnamed",),
    )


BOUND = {"prompt_tokens_at_most": 1324, "completion_tokens_at_most": 500}


@pytest.mark.parametrize(
    ("others", "interval", "charged"),
    [
        ([], (120, 0, 120), 120),
        ([unmeasured("b", status=500, **BOUND)], (120, 1, 1944), 1944),
        ([start_fields("b", **BOUND)], (120, 1, 1944), 1944),
        ([unmeasured("b", status=429, **BOUND)], (120, 0, 120), 120),
        ([end_fields("b", completion_tokens=None, total_tokens=None, **BOUND)], (220, 1, 720), 720),
        ([end_fields("b", prompt_tokens=None, total_tokens=None, **BOUND)], (140, 1, 1464), 1464),
        ([end_fields("b", prompt_tokens=None, total_tokens=90, **BOUND)], (210, 0, 210), 210),
        ([unmeasured("b", **{**BOUND, "completion_tokens_at_most": None})], (120, 1, None), 33_444),
        ([unmeasured("b", **{**BOUND, "prompt_tokens_at_most": None})], (120, 1, None), 200_620),
        ([unmeasured("b"), unmeasured("c", **BOUND)], (120, 2, None), 233_944),
        ([unmeasured("b", endpoint="other", may_cost=True)], (120, 1, None), 232_120),
        ([end_fields("b", prompt_tokens=None, total_tokens=None)], (140, 1, None), 200_140),
        ([end_fields("b", prompt_tokens=None, total_tokens=90)], (210, 0, 210), 210),
    ],
)
def test_the_total_lies_between_two_ends(
    others: list[dict[str, Any]], interval: tuple[int, int, int | None], charged: int
) -> None:
    """The lower end is what is known; the upper one adds what unknown calls cost at most, if that is known."""
    totals = CallTotals()
    for call in (end_fields("a"), *others):
        totals.add(call)
    assert tuple(totals.interval.model_dump().values()) == interval
    assert totals.charged_tokens == charged


def test_an_unknown_price_counts_as_the_dearest_one() -> None:
    """What was not counted costs as much as the dearest call; what was counted and has no price, nothing."""
    priced = [end_fields(str(n), cost_usd=usd) for n, usd in enumerate(("0.10", "0.30", "0.20"))]
    assert total(*priced, end_fields("free")).charged_usd == Decimal("0.60")
    unknown = unmeasured("b", status=502), unmeasured("c", status=500)
    totals = total(*priced, end_fields("free"), *unknown)
    assert (totals.cost.missing, totals.unknown_prices) == (3, 2)
    assert totals.charged_usd == Decimal("1.20")


CALL = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from([200, 429, 502]),
        "end_reason": st.sampled_from(["completed", "upstream_cut", "rejected"]),
        "usage_source": st.sampled_from(["upstream", "none"]),
        "prompt_tokens": st.none() | st.integers(0, 99),
        "total_tokens": st.none() | st.integers(0, 99),
        "prompt_tokens_at_most": st.none() | st.integers(99, 999),
        "completion_tokens_at_most": st.none() | st.integers(99, 999),
        "upstream_attempts": st.integers(0, 2),
        "cost_usd": st.none() | st.decimals(0, 1, places=20).map(str),
        "latency_ms": st.none() | st.integers(0, 99).map(float),
    },
)


@given(st.lists(CALL, max_size=8), st.integers(0, 8))
def test_the_sum_of_parts_is_the_sum_of_all(calls: list[dict[str, Any]], cut: int) -> None:
    """Totals of two halves add up to the totals of the whole, unknown parts and money included."""
    ends = [end_fields(str(number), **changes) for number, changes in enumerate(calls)]
    assert total(*ends[:cut]) + total(*ends[cut:]) == total(*ends)
    assert sum([total(end) for end in ends], CallTotals()) == total(*ends)


@given(st.lists(CALL, max_size=8))
def test_the_ends_of_an_interval_are_in_order(calls: list[dict[str, Any]]) -> None:
    """Charged is the upper end where there is one, else more than is known; without unknown calls all are the total."""
    totals = total(*(end_fields(str(number), **changes) for number, changes in enumerate(calls)))
    found = totals.interval
    assert found.known_total <= totals.charged_tokens
    if found.upper_total is not None:
        assert totals.charged_tokens == found.upper_total
    else:
        assert found.known_total < totals.charged_tokens
    if not found.unknown_calls:
        assert found.known_total == found.upper_total == totals.tokens.total.value


@given(st.lists(CALL, max_size=8))
def test_only_the_named_members_are_looked_at(calls: list[dict[str, Any]]) -> None:
    """The members that are listed are all that totals are made from."""
    ends = [end_fields(str(number), **changes) for number, changes in enumerate(calls)]
    few = [{name: end[name] for name in CALL_MEMBERS if name in end} for end in ends]
    assert total(*few) == total(*ends)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
)


@given(
    st.dictionaries(st.sampled_from([*CALL_MEMBERS, "kind", "call_id"]), ANYTHING),
    st.sampled_from(["start", "end"]),
)
def test_lines_that_nobody_has_checked_can_be_added(members: dict[str, Any], kind: str) -> None:
    """Whatever JSON stands in a line, adding it is no error, and a count is never made of it."""
    totals = CallTotals()
    pairing = CallPairing(totals.add)
    pairing.take({"kind": kind, "endpoint": "messages", **members})
    pairing.finish()
    assert type(totals.tokens.total.known) is int
    assert totals.calls + totals.rejected <= 1


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 1, 3), (2, 0, 3, 1)])
def test_each_call_is_handed_on_once(order: tuple[int, ...]) -> None:
    """Of a call with an END the END is handed on, of the others the START, in the end."""
    records = [start_fields("a"), end_fields("a"), start_fields("b"), {"kind": "cell_seal"}]
    seen: list[tuple[Any, Any]] = []
    pairing = CallPairing(lambda call: seen.append((call["kind"], call["call_id"])))
    for index in order:
        pairing.take(records[index])
    assert seen == [("end", "a")]
    assert [start["call_id"] for start in pairing.finish()] == ["b"]
    assert seen == [("end", "a"), ("start", "b")]
    assert pairing.finish() == []


@pytest.mark.parametrize(
    ("changes", "interval"),
    [
        ({}, (12, 0, 12)),
        ({"usage_status": "partial", "usage_source": "tokenizer"}, (12, 1, 1550)),
        ({"usage_status": "partial", "usage_source": "upstream"}, (12, 1, 509)),
        ({"usage_status": "partial", "completion_tokens_at_most": None}, (12, 1, None)),
        ({"usage_status": "partial", "completion_tokens_at_most": 1}, (12, 1, 12)),
    ],
)
def test_what_an_answer_that_broke_off_states_is_the_least(
    changes: dict[str, Any], interval: tuple[int, int, int | None]
) -> None:
    """Its count is known as far as it came; the rest lies between that and what it can have cost."""
    totals = CallTotals()
    counts = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    bounds = {"prompt_tokens_at_most": 1050, "completion_tokens_at_most": 500}
    totals.add(end_fields(**{**counts, **bounds, **changes}))
    assert tuple(totals.interval.model_dump().values()) == interval
    assert totals.tokens.total.value == 12
    # Without a bound of its answer: the prompt, which is stated, and what is assumed.
    assert totals.charged_tokens == (interval[2] or 9 + 32_000)
