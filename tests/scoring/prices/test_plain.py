"""The rule of plain calls says what the whole rule says, to the last digit, or leaves it to that."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cab.scoring.prices.plain import plain_rule
from cab.scoring.prices.rule import facts_of, price_of
from cab.scoring.prices.table import PriceTable, PriceTableFile

COUNTS = st.one_of(st.none(), st.integers(0, 300), st.integers(-1, 10**16))
RATES = st.sampled_from(["0", "0.0000001", "0.125", "3", "12345678.9", "1e12"])
PARTS = ("cache_read", "cache_write", "cache_write_1h", "reasoning", "input_audio", "request")
TABLES = st.fixed_dictionaries(
    {"input": RATES, "output": RATES}, optional=dict.fromkeys(PARTS, RATES)
)
RAW = st.sampled_from(
    [
        None,
        {},
        {"cache_creation": {"ephemeral_1h_input_tokens": 20}},
        {"server_tool_use": {"web_search_requests": 1}},
        {"prompt_tokens_details": {"audio_tokens": 5}},
    ]
)
CALLS = st.fixed_dictionaries(
    {
        "prompt_tokens": COUNTS,
        "completion_tokens": COUNTS,
        "cache_read_tokens": COUNTS,
        "cache_write_tokens": COUNTS,
        "reasoning_tokens": COUNTS,
        "usage_raw": RAW,
        "usage_source": st.sampled_from(["upstream", "tokenizer", "none"]),
        "usage_status": st.sampled_from(["complete", "partial", "overflow"]),
        "usage_parts": st.sampled_from([None, []]),
        "clipped": st.sampled_from([None, ["usage_raw"]]),
    }
)


@settings(max_examples=150, deadline=None)
@given(TABLES, st.booleans(), CALLS)
def test_a_plain_call_costs_what_the_whole_rule_says(
    rates: dict[str, Any], longer: bool, call: dict[str, Any]
) -> None:
    """Counts that are missing or wrong, parts, sounds, searches, long prompts: never another price."""
    more = {"long_context": [{"above_tokens": 200, "input": 9}]} if longer else {}
    stated = PriceTableFile.model_validate({"models": {"m": {**rates, **more}}})
    table, fields = PriceTable(stated, "t"), {**call, "model_served": "m", "endpoint": "messages"}
    schedule = table.schedule(("m",), facts_of(fields, None))
    assert schedule is not None
    rule = plain_rule(schedule)
    found = None if rule is None else rule.price(fields)
    assert found is None or found == price_of(fields, table)


def test_what_most_calls_are_is_plain() -> None:
    """0.2 x $1.25 + 0.8 x $0.125 + 0.1 x $10 in millions of tokens; and an hour's cache at its rate."""
    stated = {"input": "1.25", "output": "10", "cache_read": "0.125", "cache_write": 2}
    model = {**stated, "cache_write_1h": 4}
    table = PriceTable(PriceTableFile.model_validate({"models": {"m": model}}), "t")
    schedule = table.schedule(("m",), facts_of({}, None))
    assert schedule is not None
    rule = plain_rule(schedule)
    assert rule is not None
    call: dict[str, Any] = {
        "usage_source": "upstream",
        "usage_status": "complete",
        "prompt_tokens": 10**6,
        "completion_tokens": 10**5,
        "cache_read_tokens": 800_000,
    }
    assert rule.price(call) == "1.35"
    written = {"usage_raw": {"cache_creation": {"ephemeral_1h_input_tokens": 50_000}}}
    assert rule.price({**call, "cache_write_tokens": 100_000, **written}) == "1.525"
