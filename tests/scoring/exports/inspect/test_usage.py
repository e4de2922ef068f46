from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cab.scoring.exports.inspect.usage import total_usage, usage, usage_of_cell
from tests.scoring.builders import end_fields, unmeasured
from tests.scoring.exports.cells import source

NOTHING: dict[str, Any] = {
    "cache_read": None,
    "cache_write": None,
    "reasoning": None,
    "cost_usd": None,
}
COUNTS = st.integers(0, 10**9)


def test_input_excludes_what_went_through_a_cache(tmp_path: Path) -> None:
    """100 tokens read, 60 of them from a cache and 10 written to one: 30 are input."""
    call = end_fields(
        cache_read_tokens=60, cache_write_tokens=10, reasoning_tokens=5, cost_usd="0.25"
    )
    assert usage_of_cell(source(tmp_path / "b", calls=[call]).cell) == {
        "input_tokens": 30,
        "output_tokens": 20,
        "total_tokens": 120,
        "input_tokens_cache_read": 60,
        "input_tokens_cache_write": 10,
        "reasoning_tokens": 5,
        "total_cost": 0.25,
    }


def test_unknown_parts_are_missing_and_take_nothing_off() -> None:
    """Where the endpoint said nothing of caches all of the prompt is input."""
    assert usage(7, 3, **NOTHING) == {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}


def test_unknown_tokens_give_no_usage(tmp_path: Path) -> None:
    """Inspect's usage has zeros where nothing is known, so there is none at all."""
    assert usage_of_cell(source(tmp_path / "b", calls=[unmeasured()]).cell) is None
    assert usage_of_cell(source(tmp_path / "c", calls=None).cell) is None
    assert usage(7, None, **NOTHING) is None


def test_contradicting_parts_give_no_negative_input() -> None:
    """An endpoint that reports more cached tokens than tokens read leaves an input of 0."""
    made = usage(10, 1, **{**NOTHING, "cache_read": 12})
    assert made is not None
    assert (made["input_tokens"], made["input_tokens_cache_read"]) == (0, 12)


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_the_parts_add_up_to_the_prompt(fresh: int, read: int, written: int, out: int) -> None:
    """Input, cache reads and cache writes are the prompt again, whatever their sizes."""
    made = usage(
        fresh + read + written, out, **{**NOTHING, "cache_read": read, "cache_write": written}
    )
    assert made is not None
    assert made["input_tokens"] == fresh
    parts = ("input_tokens", "input_tokens_cache_read", "input_tokens_cache_write")
    assert sum(made[name] for name in parts) + out == made["total_tokens"]


def test_sums_keep_what_both_have() -> None:
    """A part that one usage lacks is not known of the sum; an unknown usage leaves nothing."""
    one = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3, "reasoning_tokens": 1}
    other = {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}
    assert total_usage([one, other]) == {
        "input_tokens": 11,
        "output_tokens": 22,
        "total_tokens": 33,
    }
    assert total_usage([one, {}]) == {}


def test_what_a_cache_took_off_goes_back_where_the_other_lacks_it() -> None:
    """100 read with 60 of them cached, and 100 of which nothing is known: 200 are the input."""
    reported = usage(100, 10, **{**NOTHING, "cache_read": 60, "cache_write": 0})
    silent = usage(100, 10, **NOTHING)
    assert reported is not None
    assert silent is not None
    for total in (total_usage([reported, silent]), total_usage([silent, reported])):
        assert total == {"input_tokens": 200, "output_tokens": 20, "total_tokens": 220}
