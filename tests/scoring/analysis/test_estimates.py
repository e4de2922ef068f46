from decimal import Decimal
from fractions import Fraction
from itertools import product

import pytest

from cab.scoring.analysis.estimates import (
    NO_CELLS,
    Settings,
    mean_estimate,
    mean_rate_estimate,
    per_correct_estimate,
    quantile_estimate,
    rate_estimate,
)
from cab.scoring.stats import clustered_mean, wilson_interval

PLAIN = Settings()
LOOSE = Settings(min_coverage=0.5)


def test_a_rate_of_many_tasks_is_clustered() -> None:
    """Four tasks of which three passed: 3/4, with the clustered interval cut at 1."""
    found = rate_estimate([("a", True), ("b", True), ("c", True), ("d", False)], PLAIN)
    interval = clustered_mean({"a": [1], "b": [1], "c": [1], "d": [0]}).interval()
    assert interval is not None
    assert (found.value, found.low, found.method) == (3 / 4, max(0, interval.low), "clustered")
    assert found.high == 1


def test_a_rate_without_spread_is_wilsons() -> None:
    """All passed says no more than Wilson's interval over the tasks, however often they ran."""
    found = rate_estimate([("a", True), ("a", True), ("b", True)], PLAIN)
    assert (found.value, found.low, found.high, found.method) == (
        1,
        wilson_interval(2, 2).low,
        1,
        "wilson",
    )
    halves = rate_estimate([("a", True), ("a", False), ("b", True), ("b", False)], PLAIN)
    assert (halves.low, halves.high) == wilson_interval(2, 4)[:2]


def test_tasks_of_one_rate_never_have_a_width_of_zero() -> None:
    """Whatever the common rate is as a fraction, no rounding of it passes for a spread of the tasks."""
    for runs, tasks in product((3, 5, 6, 7, 9, 10), (2, 3, 7)):
        for passed in range(1, runs):
            outcomes = [(str(task), run < passed) for task in range(tasks) for run in range(runs)]
            found = rate_estimate(outcomes, PLAIN)
            wilson = wilson_interval(passed * tasks, runs * tasks)
            assert (found.value, found.method) == (passed / runs, "wilson")
            assert (found.low, found.high) == pytest.approx(wilson[:2], abs=1e-12)


def test_every_task_counts_once_in_the_task_weighted_rate() -> None:
    """8 of 8 and 0 of 1: 8/9 of the runs, and (1 + 0) / 2 over the tasks, with one error each."""
    weighted = mean_rate_estimate([("t", [True] * 8), ("u", [False])], PLAIN)
    assert (weighted.value, weighted.low, weighted.high, weighted.method) == (
        1 / 2,
        0,
        1,
        "clustered",
    )
    of_runs = rate_estimate([*[("t", True)] * 8, ("u", False)], PLAIN)
    assert of_runs.value == 8 / 9
    rates = [("t", [True, False, False]), ("u", [False, True, False, False, False, True])]
    alike = mean_rate_estimate(rates, PLAIN)
    assert (alike.value, alike.low, alike.high) == (1 / 3, *wilson_interval(3, 9)[:2])
    two_models = mean_rate_estimate([("t", [True]), ("t", [False, False])], PLAIN)
    assert (two_models.value, two_models.low) == (1 / 2, wilson_interval(Fraction(3, 2), 3).low)
    assert mean_rate_estimate([], PLAIN) == NO_CELLS


def test_one_task_is_wilsons_and_none_is_nothing() -> None:
    """Runs of one task give Wilson's interval over the runs; no cells give no rate."""
    assert rate_estimate([("a", True), ("a", False)], PLAIN).low == wilson_interval(1, 2).low
    assert rate_estimate([], PLAIN) == NO_CELLS


def test_a_mean_needs_its_coverage() -> None:
    """Two of three known: no mean by default, a mean where less coverage is allowed."""
    values = [("a", 1.0), ("b", 3.0), ("c", None)]
    hidden = mean_estimate(values, PLAIN)
    assert (hidden.value, hidden.coverage, hidden.reason) == (
        None,
        2 / 3,
        "measured on 66.7% of the cells",
    )
    found = mean_estimate(values, LOOSE)
    assert (found.value, found.coverage, found.method) == (2, 2 / 3, "clustered")
    nothing_known = mean_estimate([("a", None)], Settings(min_coverage=0))
    assert (nothing_known.value, nothing_known.coverage) == (None, 0)
    assert mean_estimate([], PLAIN) == NO_CELLS


def test_a_mean_keeps_to_its_limits() -> None:
    """The interval of a mean that cannot leave 0 to 1 does not."""
    found = mean_estimate([("a", 0.0), ("b", 1.0)], PLAIN, (0, 1))
    assert (found.value, found.low, found.high) == (0.5, 0, 1)


def test_a_mean_without_spread_has_no_interval() -> None:
    """One task, and tasks that are all alike, say nothing of the next one."""
    for values in ([("a", 1.0), ("a", 3.0)], [("a", 2.0), ("b", 2.0)]):
        found = mean_estimate(values, PLAIN)
        assert (found.value, found.low, found.high, found.method) == (2, None, None, None)
    # 0.8 + 0.6 is not 0.7 + 0.7 in floats, and 0.1 + 0.2 is not 0.3 either
    floats = [("a", 0.8), ("a", 0.6), ("b", 0.7), ("b", 0.7)]
    money = [("a", Decimal("0.1")), ("a", Decimal("0.2")), ("b", Decimal("0.15"))]
    assert [mean_estimate(each, PLAIN).low for each in (floats, money)] == [None, None]
    [low] = [mean_estimate([("a", 1), ("b", 1 + 1e-9)], PLAIN).low]
    assert low is not None


def test_amounts_per_pass() -> None:
    """300 tokens of two tasks and one pass: 300, open above, as draws without a pass happen."""
    found = per_correct_estimate([("a", 100), ("b", 200)], [True, False], PLAIN)
    assert (found.value, found.high, found.method) == (300, None, "bootstrap")
    money = per_correct_estimate(
        [("a", Decimal("0.1")), ("a", Decimal("0.2"))], [True, True], PLAIN
    )
    assert (money.value, money.low, money.method) == (0.15, None, None)
    alike = per_correct_estimate([("a", 100), ("b", 200), ("b", 0)], [True, True, True], PLAIN)
    assert (alike.value, alike.low, alike.high, alike.method) == (100, None, None, None)
    assert per_correct_estimate([], [], PLAIN) == NO_CELLS


@pytest.mark.parametrize("settings", [PLAIN, Settings(min_coverage=0)])
def test_amounts_per_pass_need_every_cell(settings: Settings) -> None:
    """One missing amount hides the estimate, whatever coverage is allowed; so does no pass."""
    found = per_correct_estimate([("a", 100), ("b", None)], [True, True], settings)
    assert (found.value, found.coverage) == (None, 0.5)
    assert found.reason == "measured on 50.0% of the cells"
    assert per_correct_estimate([("a", 100)], [False], settings).reason == "nothing passed"


def test_quantiles_know_the_time_limit() -> None:
    """A median behind the limit is None with what it is sure to reach."""
    found = quantile_estimate([(10.0, False), (60.0, True), (60.0, True)], 0.5, PLAIN)
    assert (found.value, found.low, found.reason) == (
        None,
        60,
        "beyond the time limit at which cells were stopped",
    )
    assert quantile_estimate([(10.0, False), (60.0, True)], 0.5, PLAIN).value == 10
    assert quantile_estimate([(10.0, False), (None, False)], 0.5, PLAIN).value is None
    assert quantile_estimate([], 0.5, PLAIN) == NO_CELLS
