import pytest

from cab.scoring import sum_calls
from cab.scoring.axes.tokens import score_tokens, tokens_source
from cab.scoring.ledger.records import AnyRecord
from tests.scoring.builders import end, opening, uncounted


def test_published_keys_are_filled_from_the_calls() -> None:
    """Tokens and model calls are the ledger's, under the published keys."""
    axis = score_tokens(sum_calls([end("a"), end("b", retry_of="a")]), passed=1)
    assert (axis.prompt_tokens, axis.completion_tokens, axis.total_tokens) == (200, 40, 240)
    assert (axis.model_calls, axis.attempts) == (1, 2)
    assert (axis.tokens_per_correct_task, axis.pass_used_for_division) == (240, 1)
    assert axis.by_source["upstream"].model_dump() == {
        "calls": 2,
        "prompt_tokens": 200,
        "completion_tokens": 40,
        "total_tokens": 240,
    }


def test_without_a_ledger_nothing_is_known() -> None:
    """An unmetered cell has nulls where published cells have zeros."""
    axis = score_tokens(None, passed=1)
    numbers = axis.model_dump(exclude={"pass_used_for_division", "by_source"})
    assert set(numbers.values()) == {None}
    assert (axis.pass_used_for_division, axis.by_source) == (1, {})


@pytest.mark.parametrize("passed", [0, None])
def test_tokens_per_correct_task_needs_a_pass(passed: int | None) -> None:
    """A cell that did not pass has no tokens per correct task, rather than 0 of them."""
    axis = score_tokens(sum_calls([end()]), passed=passed)
    assert axis.tokens_per_correct_task is None
    assert axis.pass_used_for_division == passed
    assert axis.total_tokens == 120


def test_an_uncounted_call_leaves_the_known_sums() -> None:
    """With a call missing the totals are null, and what is known stands apart."""
    axis = score_tokens(sum_calls([end("a"), uncounted("b")]), passed=1)
    assert axis.prompt_tokens is axis.completion_tokens is axis.total_tokens is None
    assert axis.tokens_per_correct_task is None
    assert (axis.known_prompt_tokens, axis.known_completion_tokens) == (100, 20)
    assert (axis.known_total_tokens, axis.unmeasured_calls) == (120, 1)


AT_MOST = {"prompt_tokens_at_most": 1324, "completion_tokens_at_most": 500}


@pytest.mark.parametrize(
    ("counted", "unknown", "scored"),
    [
        (40, 0, 4800),
        (39, 1, 39 * 120 + 1824),
        (38, 2, 38 * 120 + 2 * 1824),
        (37, 3, None),
        (30, 10, None),
        (1, 1, 120 + 1824),
        (1, 2, None),
        (0, 1, None),
        (0, 0, 0),
    ],
)
def test_few_unknown_calls_do_not_blank_a_cell(
    counted: int, unknown: int, scored: int | None
) -> None:
    """With at most 5 % of the calls unknown, or one, the upper end is scored, and the axis says so."""
    calls: list[AnyRecord] = [opening(), *(end(f"a{n}") for n in range(counted))]
    calls += [uncounted(f"b{n}", status=502, **AT_MOST) for n in range(unknown)]
    axis = score_tokens(sum_calls(calls), passed=1)
    assert axis.scored_total_tokens == scored
    assert axis.scored_upper_end == (unknown > 0 and scored is not None)
    assert axis.total_interval is not None
    assert axis.total_interval.model_dump() == {
        "known_total": 120 * counted,
        "unknown_calls": unknown,
        "upper_total": 120 * counted + 1824 * unknown,
    }
    assert axis.total_tokens == (None if unknown else 120 * counted)
    assert axis.tokens_per_correct_task == axis.total_tokens


def test_an_unknown_call_without_a_bound_has_no_upper_end() -> None:
    """One call of 40 that no cap bounds leaves nothing to score."""
    axis = score_tokens(sum_calls([*(end(f"a{n}") for n in range(39)), uncounted("b")]), passed=1)
    assert (axis.scored_total_tokens, axis.scored_upper_end) == (None, False)


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([], "none"),
        (["upstream"], "upstream"),
        (["tokenizer"], "tokenizer"),
        (["upstream", "tokenizer"], "mixed"),
        (["upstream", "none"], "none"),
    ],
)
def test_the_total_carries_its_source(sources: list[str], expected: str) -> None:
    """A total says who counted it; where there is no total, nobody did."""
    calls = [
        uncounted(f"c{n}") if source == "none" else end(f"c{n}", usage_source=source)
        for n, source in enumerate(sources)
    ]
    assert tokens_source(score_tokens(sum_calls(calls), passed=1)) == expected


def test_an_unmetered_total_has_no_source() -> None:
    """Without a ledger nobody counted."""
    assert tokens_source(score_tokens(None, passed=1)) == "none"


def test_half_a_total_has_no_source() -> None:
    """A prompt without a completion is not a total."""
    calls = sum_calls([end(completion_tokens=None, total_tokens=None)])
    axis = score_tokens(calls, passed=1)
    assert (axis.prompt_tokens, axis.completion_tokens) == (100, None)
    assert tokens_source(axis) == "none"
