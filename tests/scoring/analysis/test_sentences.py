from cab.scoring.analysis.compare import compare, compare_all
from cab.scoring.analysis.sentences import bare_reading, reading, sentence
from tests.scoring.analysis.test_compare import side
from tests.scoring.results import cell


def test_effect_interval_p_and_resolution() -> None:
    """Eight tasks, six that only A passes: all four in one sentence, in points."""
    [found] = compare(side("a", [1] * 7 + [0]), side("b", [0] * 6 + [1, 0]))
    assert sentence(found) == (
        "pass rate: a 87.5% against b 12.5%, a difference of +75.0 points "
        "(95% interval +36.3 to +100.0 points, p = 0.031); "
        "8 tasks resolve a difference of 53.4 points or more at 80% power."
    )


def test_few_tasks_cannot_tell() -> None:
    """With four tasks p cannot fall below 1/8, and the sentence says what that means."""
    [found] = compare(side("a", [1, 1, 1, 0]), side("b", [0, 0, 1, 0]))
    assert sentence(found).endswith(
        "with 4 tasks p cannot fall below 0.12, "
        "so that no difference could have been distinguished from chance."
    )


def test_one_task_and_none() -> None:
    """One task has an effect and no certainty; no task in common has neither."""
    [one] = compare(side("a", [1]), side("b", [0]))
    assert sentence(one) == (
        "pass rate: a 100.0% against b 0.0%, a difference of +100.0 points; "
        "with 1 task in common no difference can be distinguished from chance."
    )
    [none] = compare(side("a", [1]), ("b", [cell("s/b/m/f/other")]))
    assert sentence(none) == (
        "pass rate: nothing can be concluded: no cells to pair: A and B have no task in common."
    )


def test_pairs_that_differ_alike() -> None:
    """Without spread there is no interval, and no claim of what could have been resolved."""
    [found] = compare(side("a", [1] * 6, total=220), side("b", [1] * 6), ["total_tokens"])
    assert sentence(found) == (
        "tokens per cell: a 220 against b 120, a difference of +100 (p = 0.031); "
        "all pairs differ by the same amount, so that 6 tasks do not show what could have been resolved."
    )


def test_more_than_100_points_cannot_be_resolved() -> None:
    """Where only an impossible difference would have been found, none is claimed."""
    passes = [1, 1, 1, 1, 0, 0, 1, 0]
    [found] = compare(side("a", [1, 1, 1, 1, 1, 1]), side("b", [0, 0, 0, 0, 0, 1]))
    assert found.detectable is not None
    [wide] = compare(side("a", [*passes[::2], 1, 0]), side("b", [0, 1, 0, 1, 0, 1]), ["pass_rate"])
    assert (wide.detectable, wide.detectable_reason) == (None, "beyond_range")
    assert sentence(wide).endswith(
        "6 tasks do not resolve even a difference of 100.0 points at 80% power."
    )


def test_both_weights_have_their_names() -> None:
    """Where the means over tasks and over runs are not the same, both are said with their names."""
    a = [cell(f"s/a/m/f/t0#run{run}") for run in range(1, 9)]
    [found] = compare(("a", [*a, cell("s/a/m/f/t1", passed=0)]), side("b", [0, 0]))
    assert sentence(found).startswith(
        "pass rate: a 50.0% against b 0.0% task-weighted (88.9% against 0.0% run-weighted), "
        "a difference of +50.0 points"
    )


def test_corrected_p_values_are_told() -> None:
    """Where several were compared the sentence gives the p after Holm too."""
    found = compare_all([side("a", [1] * 6), side("b", [0] * 6), side("c", [0] * 5 + [1])])
    assert "p = 0.031, 0.094 after Holm" in sentence(found[0])


def test_units_are_those_that_people_read() -> None:
    """Milliseconds are read as seconds, shares as percent, unknown as none."""
    assert reading("wall_clock_ms", 1500) == "1.50 s"
    assert reading("pass_rate", -0.25, difference=True) == "-25.0 points"
    assert reading("cost_usd", 0.00254) == "$0.0025"
    assert reading("cost_usd", -1.5, difference=True) == "-$1.50"
    assert bare_reading("cost_usd", 0.5, difference=True) == "+0.50"
    assert reading("total_tokens", None) == "none"
    assert reading("total_tokens", -0.1, difference=True) == "+0"
