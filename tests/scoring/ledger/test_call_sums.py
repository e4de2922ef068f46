from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.scoring import BadRecord, CallEnd, OtherRecord, parse_record, sum_calls
from cab.scoring.ledger.call_sums import union_us
from cab.scoring.ledger.totals import Total, is_model_call, may_have_cost
from tests.scoring.builders import end, line, opening, start, summed, uncounted


def test_nothing_is_not_zero() -> None:
    """Without a record of a call, an opening or a seal nobody looked, and there are no sums at all."""
    stopped = parse_record(line({"kind": "proxy_stop", "at": "2026-11-20T12:00:06Z"}))
    assert sum_calls([]) is sum_calls([stopped]) is None


@pytest.mark.parametrize("kind", ["cell_open", "cell_seal"])
def test_no_call_of_an_open_cell_is_a_measured_zero(kind: str) -> None:
    """A cell that was opened, or sealed, and has no call has zero calls and tokens, all known."""
    sealed = parse_record(line({"kind": "cell_seal", "cell_id": "s/a/m/f/t"}))
    sums = summed([opening() if kind == "cell_open" else sealed])
    assert (sums.model_calls, sums.attempts, sums.unmeasured_calls) == (0, 0, 0)
    assert (sums.tokens.total.value, sums.latency_ms.value, sums.busy_ms) == (0, 0.0, 0.0)
    assert sums.by_source == {}


def test_two_calls_add_up() -> None:
    """Tokens, parts and latencies of different calls are added."""
    first = end("a", cache_read_tokens=60, cache_write_tokens=0, reasoning_tokens=7)
    second = end(
        "b",
        prompt_tokens=10,
        completion_tokens=5,
        total_tokens=15,
        cache_read_tokens=4,
        cache_write_tokens=1,
        reasoning_tokens=0,
    )
    sums = summed([first, second])
    tokens = sums.tokens
    assert sums.model_calls == sums.attempts == 2
    assert (tokens.prompt.value, tokens.completion.value, tokens.total.value) == (110, 25, 135)
    assert (tokens.cache_read.value, tokens.cache_write.value, tokens.reasoning.value) == (64, 1, 7)
    assert sums.latency_ms.value == 1000.0


def test_one_uncounted_answer_makes_the_total_unknown() -> None:
    """One call that may have cost something and has no count leaves only the known sum."""
    sums = summed([end("a"), uncounted("b")])
    assert sums.tokens.total.value is None
    assert sums.tokens.total.known == 120
    assert sums.unmeasured_calls == 1
    assert sums.model_calls == 2


def test_a_part_that_one_call_did_not_report_is_unknown() -> None:
    """Cached tokens are known only if every counted call reported them."""
    sums = summed([end("a", cache_read_tokens=60), end("b")])
    assert sums.tokens.cache_read.value is None
    assert sums.tokens.cache_read.known == 60
    assert sums.tokens.total.value == 240


def test_attempts_of_one_call_count_once() -> None:
    """A call that was tried three times is one call, three attempts, and costs what each cost."""
    failed = {"status": 429, "end_reason": "upstream_error"}
    records = [
        uncounted("a", **failed),
        uncounted("b", attempt=2, retry_of="a", **failed),
        end("c", attempt=3, retry_of="a"),
        end("d"),
    ]
    for order in (records, records[::-1]):
        sums = summed(order)
        assert (sums.model_calls, sums.attempts, sums.unmeasured_calls) == (2, 4, 0)
        assert sums.tokens.total.value == 240
        assert sums.latency_ms.value == 2000.0


def test_a_chain_of_retries_is_one_call_in_any_order() -> None:
    """Retries that name the attempt before them lead back to one call, also from the end."""
    chain = [end("r0"), *(end(f"r{n}", retry_of=f"r{n - 1}") for n in range(1, 2000))]
    assert summed(chain).model_calls == 1
    assert summed(reversed(chain)).model_calls == 1


@pytest.mark.parametrize("rings", [[("a", "a")], [("a", "b"), ("b", "a")]])
def test_retries_in_a_ring_come_to_an_end(rings: list[tuple[str, str]]) -> None:
    """Attempts that name each other are counted without looping for ever."""
    sums = summed([end(call_id, retry_of=of) for call_id, of in rings])
    assert 1 <= sums.model_calls <= len(rings)


def test_a_retry_of_a_rejected_call_is_a_call() -> None:
    """What the proxy rejected is no call; its repetitions that were let through are one."""
    sums = summed(
        [
            uncounted("a", end_reason="rejected", status=400),
            end("b", retry_of="a"),
            end("c", retry_of="a"),
        ]
    )
    assert (sums.model_calls, sums.attempts) == (1, 2)


def test_requests_that_the_proxy_resent_are_attempts() -> None:
    """A request that the proxy had to send twice is one call and two attempts."""
    sums = summed([end("a", upstream_attempts=2), end("b", upstream_attempts=0)])
    assert (sums.model_calls, sums.attempts) == (2, 3)


def test_what_is_no_model_call_adds_nothing() -> None:
    """Rejected calls, other endpoints and other records are neither calls nor tokens."""
    other = parse_record(line({"kind": "cell_seal", "cell_id": "x"}))
    assert isinstance(other, OtherRecord)
    sums = summed(
        [other, end("a", endpoint="other"), end("b", end_reason="rejected"), start("c"), end("c")]
    )
    assert (sums.model_calls, sums.tokens.total.value) == (1, 120)


def test_a_start_without_its_end_is_an_unknown_cost() -> None:
    """A call that began and never ended is counted, and nothing of it is known."""
    sums = summed([start("a"), end("a"), start("b"), start("c", endpoint="other")])
    assert (sums.model_calls, sums.attempts, sums.unmeasured_calls) == (2, 2, 1)
    assert sums.tokens.total.value is None
    assert sums.tokens.reasoning.value is None
    assert (sums.latency_ms.value, sums.latency_ms.known, sums.busy_ms) == (None, 500.0, None)


def test_sources_are_kept_apart() -> None:
    """What the endpoint reported and what was counted here stand side by side."""
    sums = summed(
        [end("a"), end("b", usage_source="tokenizer", usage_status="partial"), uncounted("c")]
    )
    assert sorted(sums.by_source) == ["tokenizer", "upstream"]
    assert [sums.by_source[name].calls for name in sorted(sums.by_source)] == [1, 1]
    assert sums.by_source["upstream"].tokens.total.value == 120
    assert sums.partial_calls == 1


@pytest.mark.parametrize(
    ("status", "partial"),
    [("complete", 0), (None, 0), ("partial", 1), ("inconsistent", 1), ("overflow", 1)],
)
def test_a_count_that_contradicts_itself_covers_no_call(status: str | None, partial: int) -> None:
    """Coverage says so of a call whose counts are partial or inconsistent; its numbers are summed."""
    sums = summed([end("a", usage_status=status)])
    assert (sums.partial_calls, sums.tokens.total.value) == (partial, 120)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"end_reason": "client_gone"}, True),
        ({"end_reason": "client_gone", "status": None}, True),
        ({"end_reason": "client_gone", "status": None, "upstream_attempts": 0}, False),
        ({"end_reason": "upstream_cut"}, True),
        ({"end_reason": "upstream_cut", "status": 504}, True),
        ({"end_reason": "upstream_cut", "status": 500}, True),
        ({"end_reason": "upstream_cut", "status": 502}, True),
        ({"end_reason": "upstream_cut", "status": 429}, False),
        ({"end_reason": "timeout", "status": 504}, True),
        ({"end_reason": "crash", "status": None}, True),
        ({"end_reason": "upstream_error", "status": 200}, True),
        ({"end_reason": "upstream_error", "status": 500}, True),
        ({"end_reason": "upstream_error", "status": 502}, True),
        ({"end_reason": "upstream_error", "status": 504}, True),
        ({"end_reason": "upstream_error", "status": 529}, True),
        ({"end_reason": "upstream_error", "status": 408}, True),
        ({"end_reason": "upstream_error", "status": 499}, True),
        ({"end_reason": "upstream_error", "status": 400}, False),
        ({"end_reason": "upstream_error", "status": 404}, False),
        ({"end_reason": "upstream_error", "status": 429}, False),
        ({"end_reason": "upstream_unreachable", "status": None}, False),
        ({"end_reason": "upstream_unreachable", "status": 502}, False),
        ({"end_reason": "upstream_unreachable", "status": 504}, False),
        ({"end_reason": "crash", "status": 500}, True),
        ({"end_reason": "crash", "status": 500, "upstream_attempts": 0}, False),
        ({"end_reason": "rejected", "status": None}, False),
    ],
)
def test_which_uncounted_attempts_may_have_cost(changes: dict[str, Any], expected: bool) -> None:
    """An attempt without a count is free only if it cannot have reached the model."""
    record = uncounted("a", **changes)
    assert may_have_cost(vars(record)) is expected
    assert summed([record]).unmeasured_calls == (expected and is_model_call(record))


def test_a_failed_attempt_with_usage_counts() -> None:
    """An error that comes with a usage report costs what the report says."""
    sums = summed([end("a", status=500, end_reason="upstream_error")])
    assert sums.tokens.total.value == 120


@pytest.mark.parametrize(
    ("prompt", "completion", "total", "expected"),
    [(1, 2, 4, 4), (1, 2, None, 3), (0, 0, None, 0), (None, 2, None, None), (1, None, None, None)],
)
def test_a_total_is_stated_or_made_from_both_parts(
    prompt: int | None, completion: int | None, total: int | None, expected: int | None
) -> None:
    """A call's total is the stated one, else the sum of two known parts, else unknown."""
    record = end(prompt_tokens=prompt, completion_tokens=completion, total_tokens=total)
    assert summed([record]).tokens.total.value == expected


def test_overlapping_calls_are_busy_once() -> None:
    """Two calls at once take their sum as latency, and the time that passed as busy time."""
    records = [
        end("a", started_at="2026-11-20T12:00:00.000000Z", latency_ms=500.0),
        end("b", started_at="2026-11-20T12:00:00.250000Z", latency_ms=500.0),
        end("c", started_at="2026-11-20T12:00:02.000000Z", latency_ms=100.5),
    ]
    sums = summed(records)
    assert sums.latency_ms.value == 1100.5
    assert sums.busy_ms == 850.5


def test_a_call_that_waits_in_a_queue_is_not_busy() -> None:
    """Its latency begins where the wait for other calls ends."""
    records = [
        end("a", started_at="2026-11-20T12:00:00.000000Z", latency_ms=500.0, queued_ms=0.0),
        end("b", started_at="2026-11-20T12:00:00.100000Z", latency_ms=500.0, queued_ms=400.0),
    ]
    assert summed(records).busy_ms == 1000.0


def test_a_start_that_is_no_instant_is_named() -> None:
    """A call whose start cannot be read raises an error that names call and field."""
    with pytest.raises(BadRecord, match="call a: started_at"):
        summed([end("a", started_at="yesterday")])


def test_a_latency_that_is_no_measurement_is_named() -> None:
    """A latency whose sum with others would not be finite is refused."""
    with pytest.raises(BadRecord, match="call a: latency_ms"):
        summed([end("a", latency_ms=1e307)])


@pytest.mark.parametrize(("said", "attempts"), [(None, 1), (0, 1), (1, 1), (2, 2)])
def test_a_call_that_the_proxy_sent_twice_counts_twice(said: int | None, attempts: int) -> None:
    """A request that the proxy sent again itself is one more attempt; none is never assumed."""
    assert summed([end("a", upstream_attempts=said)]).attempts == attempts


INTERVALS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda pair: (pair[0], sum(pair)))
)


@given(INTERVALS)
def test_the_union_is_the_number_of_covered_units(intervals: list[tuple[int, int]]) -> None:
    """The union of intervals is as long as the set of the units that they cover."""
    covered = {unit for first, last in intervals for unit in range(first, last)}
    assert union_us(intervals) == len(covered)


CALLS = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 9000), st.none() | st.integers(0, 1000)),
    max_size=8,
)


@given(CALLS, st.randoms(use_true_random=False))
def test_sums_do_not_depend_on_the_order(
    calls: list[tuple[int, int, int | None]], rng: Any
) -> None:
    """Records in any order give the same sums, and busy time is never more than the latencies."""
    records: list[CallEnd] = [
        (uncounted if count is None else end)(
            f"c{number}",
            started_at=f"2026-11-20T12:00:{second:02}.000000Z",
            latency_ms=float(latency),
            **({} if count is None else {"prompt_tokens": count, "total_tokens": count + 20}),
        )
        for number, (second, latency, count) in enumerate(calls)
    ]
    sums = summed([opening(), *records])
    shuffled = [*records, opening()]
    rng.shuffle(shuffled)
    again = summed(shuffled)
    assert (again.tokens, again.latency_ms, again.busy_ms) == (
        sums.tokens,
        sums.latency_ms,
        sums.busy_ms,
    )
    assert sums.busy_ms is not None
    assert sums.busy_ms <= sums.latency_ms.known
    known = [count + 20 for *_, count in calls if count is not None]
    assert sums.tokens.total == Total(sum(known), missing=len(calls) - len(known))


def test_a_sum_of_floats_is_exact_where_its_parts_are() -> None:
    """Latencies in quarters of a millisecond add up without a rounding error."""
    total = Total(0.0)
    for _, part in pairwise([0.25] * 9):
        total.add(part)
    assert total.value == 2.0
