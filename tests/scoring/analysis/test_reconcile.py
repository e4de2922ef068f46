import orjson
from hypothesis import given
from hypothesis import strategies as st

from cab.scoring.analysis.reconcile import reconcile, reconcile_cell
from tests.scoring.results import cell


def test_one_cell_side_by_side() -> None:
    """The agent says 110 where 120 were metered: 10 too few, 1/12 of all."""
    found = reconcile_cell(cell(own=110)).as_dict()
    assert (found["source"], found["exact"]) == ("tui_stdout", True)
    assert found["total_tokens"] == {
        "reported": 110,
        "measured": 120,
        "error": -10,
        "relative_error": -10 / 120,
    }
    assert found["completion_tokens"] == {
        "reported": 20,
        "measured": 20,
        "error": 0,
        "relative_error": 0,
    }


def test_a_missing_side_leaves_no_error() -> None:
    """Without a report, without a meter, and with nothing metered there is no relative error."""
    silent = reconcile_cell(cell())
    assert (silent.source, silent.exact) == (None, None)
    assert silent.counts["total_tokens"].error is None
    unmetered = reconcile_cell(cell(own=110, total=None)).counts["total_tokens"]
    assert (unmetered.reported, unmetered.error, unmetered.relative_error) == (110, None, None)
    nothing = reconcile_cell(cell(own=20, total=20)).counts["prompt_tokens"]
    assert (nothing.error, nothing.relative_error) == (0, None)


def test_how_wrong_each_counter_is() -> None:
    """Errors of -20, +20 and 0 on 100 each: 0 in the mean, 40/3 in size, worst 20 %."""
    cells = [
        cell("s/a/m/f/t", total=100, own=80),
        cell("s/a/m/f/u", total=100, own=120),
        cell("s/a/m/f/v", total=100, own=100),
        cell("s/a/m/f/w"),
        cell("s/b/m/f/t", total=None),
    ]
    a, b = reconcile(cells)
    assert (a.key, a.cells, a.reporting, a.metered) == ({"tui": "a"}, 4, 3, 4)
    assert (a.sources, a.exact) == ({"tui_stdout": 3}, True)
    total = a.counts["total_tokens"]
    assert (total.compared, total.equal, total.reported, total.measured) == (3, 1, 300, 300)
    assert (total.relative_error, total.worst_relative_error) == (0, 0.2)
    assert (total.mean_error.value, total.mean_absolute_error.value) == (0, 40 / 3)
    assert (b.reporting, b.metered, b.exact) == (0, 0, None)
    nothing = b.counts["total_tokens"]
    assert (nothing.compared, nothing.relative_error, nothing.mean_error.value) == (0, None, None)
    assert (nothing.worst_relative_error, nothing.reported, nothing.measured) == (None, None, None)


def test_a_relative_error_needs_something_measured() -> None:
    """Prompts of 0 tokens have an error in tokens, and none in percent."""
    [found] = reconcile([cell(own=25, total=20)])
    prompt = found.counts["prompt_tokens"]
    assert (prompt.reported, prompt.measured, prompt.mean_error.value) == (5, 0, 5)
    assert (prompt.relative_error, prompt.worst_relative_error) == (None, None)


def test_groups_can_be_made_otherwise() -> None:
    """By model, or all together."""
    cells = [cell("s/a/m/f/t", own=120), cell("s/b/n/f/t", own=100)]
    assert [found.key for found in reconcile(cells, by=("model",))] == [
        {"model": "m"},
        {"model": "n"},
    ]
    assert reconcile(cells, by=())[0].counts["total_tokens"].relative_error == -20 / 240


@given(st.lists(st.tuples(st.integers(20, 999), st.integers(20, 999)), min_size=1, max_size=9))
def test_the_sums_agree_with_the_cells(counts: list[tuple[int, int]]) -> None:
    """Sums of the table are sums of the cells; the mean's size is at most the mean of the sizes."""
    cells = [cell(f"s/a/m/f/t{i}", total=m, own=r) for i, (m, r) in enumerate(counts)]
    [found] = reconcile(cells)
    total = found.counts["total_tokens"]
    assert (total.reported, total.measured) == (
        sum(r for _, r in counts),
        sum(m for m, _ in counts),
    )
    assert total.mean_error.value is not None
    assert total.mean_absolute_error.value is not None
    assert abs(total.mean_error.value) <= total.mean_absolute_error.value + 1e-9
    assert orjson.dumps(found) == orjson.dumps(reconcile(reversed(cells))[0])
