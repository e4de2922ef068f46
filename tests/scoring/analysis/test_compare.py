from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.scoring.analysis.aggregate import aggregate
from cab.scoring.analysis.compare import METRICS, Metric, compare, compare_all
from cab.scoring.analysis.estimates import Settings
from cab.scoring.analysis.observation import Observation
from cab.scoring.stats import mcnemar_test
from tests.scoring.results import cell

Side = tuple[str, list[Observation]]


def side(tui: str, passes: Sequence[int | None], **changes: object) -> Side:
    """Return one cell per verdict, of tasks t0, t1, and so on."""
    return tui, [
        cell(f"s/{tui}/m/f/t{task}", passed=passed, **changes) for task, passed in enumerate(passes)
    ]


def test_worked_by_hand() -> None:
    """Differences 1, 1, 0, 0: mean 1/2, error sqrt(4/3 * 4/4) / 4, p = 8/16 with ties."""
    [found] = compare(side("a", [1, 1, 1, 0]), side("b", [0, 0, 1, 0]))
    assert (found.pairs, found.tasks, found.paired_by) == (4, 4, ("task", "model"))
    assert (found.task_weighted_a, found.task_weighted_b, found.difference) == (3 / 4, 1 / 4, 1 / 2)
    assert found.standard_error == pytest.approx((4 / 3) ** 0.5 / 4, abs=1e-15)
    assert (found.p, found.p_exact, found.smallest_p) == (8 / 16, True, 2 / 16)
    assert found.p_mcnemar == mcnemar_test(4, 2, 0).p == 0.5
    assert found.p_holm == found.p
    # 1.2: more than two pass rates can differ
    assert (found.detectable, found.detectable_reason) == (None, "beyond_range")
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.5 < found.high


def test_runs_of_a_side_are_averaged() -> None:
    """Two runs of a task make one pair of their mean, and McNemar's test is not for them."""
    a = [cell(f"s/a/m/f/t#run{run}", passed=run - 1) for run in (1, 2)]
    [found] = compare(
        ("a", [*a, cell("s/a/m/f/u")]), ("b", [cell("s/b/m/f/t", passed=0), cell("s/b/m/f/u")])
    )
    assert (found.pairs, found.task_weighted_a, found.difference) == (2, 3 / 4, 1 / 4)
    assert found.p_mcnemar is None


def test_pairs_share_what_both_sides_have() -> None:
    """Models are compared within agents, agents within models; two sweeps within both."""

    def cells(*names: str) -> list[Observation]:
        return [cell(f"{name}/f/t{i}") for name in names for i in (1, 2)]

    [models] = compare(("m", cells("s/a/m", "s/b/m")), ("n", cells("s/a/n", "s/b/n")))
    assert (models.paired_by, models.pairs, models.tasks) == (("task", "tui"), 4, 2)
    [sweeps] = compare(("s", cells("s/a/m")), ("r", cells("r/a/m")))
    assert sweeps.paired_by == ("task", "tui", "model")
    [all_else] = compare(("m", cells("s/a/m")), ("n", cells("s/b/n")))
    assert all_else.paired_by == ("task",)


def test_what_has_no_counterpart_is_counted() -> None:
    """Cells without a pair, and cells that the infrastructure failed, are counted and left out."""
    a, b = side("a", [1, 0, 1, None]), side("b", [1, 1])
    [found] = compare(a, b)
    assert (found.pairs, found.unpaired_a, found.unpaired_b) == (2, 1, 0)
    assert (found.infrastructure_a, found.infrastructure_b) == (1, 0)


def test_nothing_in_common_and_one_task_have_reasons() -> None:
    """Without a pair there is no effect; with one task there is one, and no certainty."""
    [none] = compare(side("a", [1]), ("b", [cell("s/b/m/f/other")]))
    assert (none.pairs, none.difference, none.coverage) == (0, None, None)
    assert none.reason == "no cells to pair: A and B have no task in common"
    [one] = compare(side("a", [1]), side("b", [0]))
    assert (one.difference, one.p, one.low) == (1, None, None)
    assert one.reason is not None
    assert "2 tasks or more" in one.reason


@pytest.mark.parametrize(
    ("rates", "metric"),
    [
        (((2, 1), (1, 0), (3, 2)), "pass_rate"),  # of three runs: 2/3 - 1/3, 1/3 - 0, 1 - 2/3
        (((0.9, 0.8), (0.3, 0.2), (0.7, 0.6)), "composite"),
    ],
)
def test_equal_differences_are_equal_whatever_floats_make_of_them(
    rates: Sequence[tuple[float, float]], metric: Metric
) -> None:
    """Pairs whose differences are the same fraction show no spread: no interval, and no resolution."""

    def cells(tui: str, side_: int) -> list[Observation]:
        return [
            cell(
                f"s/{tui}/m/f/t{task}#run{run}",
                passed=int(run <= both[side_]),
                composite=min(1.0, both[side_]),
            )
            for task, both in enumerate(rates)
            for run in (1, 2, 3)
        ]

    [found] = compare(("a", cells("a", 0)), ("b", cells("b", 1)), [metric])
    assert (found.standard_error, found.low, found.high) == (0, None, None)
    assert (found.detectable, found.detectable_reason) == (None, "no_spread")
    assert found.difference == pytest.approx(1 / 3 if metric == "pass_rate" else 0.1, abs=1e-15)


def test_both_weights_are_shown() -> None:
    """8 of 8 and 0 of 1 are 1/2 over the tasks and 8/9 over the runs; `aggregate` has both as well."""
    a = [cell(f"s/a/m/f/t#run{run}") for run in range(1, 9)] + [cell("s/a/m/f/u", passed=0)]
    [found] = compare(("a", a), ("b", [cell("s/b/m/f/t"), cell("s/b/m/f/u")]))
    assert (found.task_weighted_a, found.run_weighted_a) == (1 / 2, 8 / 9)
    assert (found.task_weighted_b, found.run_weighted_b, found.difference) == (1, 1, -1 / 2)
    [group] = aggregate(a)
    assert group.pass_rate.value == found.run_weighted_a
    assert group.pass_rate_task_weighted.value == found.task_weighted_a


def test_pairs_that_all_differ_alike_have_no_interval() -> None:
    """Two tasks that both differ by 1: p is 2/4, and neither interval nor resolution is claimed."""
    [found] = compare(side("a", [1, 1]), side("b", [0, 0]))
    assert (found.difference, found.p, found.low, found.high, found.detectable) == (
        1,
        0.5,
        None,
        None,
        None,
    )


def test_unknown_tokens_are_not_compared_as_zero() -> None:
    """One pair without tokens hides the difference, unless less coverage is allowed."""
    a, b = side("a", [1, 1, 1]), side("b", [1, 1, 1], total=100)
    a[1][0] = cell("s/a/m/f/t0", total=None)
    [hidden] = compare(a, b, ["total_tokens"])
    assert (hidden.difference, hidden.coverage) == (None, 2 / 3)
    assert hidden.reason == "measured on 66.7% of the pairs"
    [found] = compare(a, b, ["total_tokens"], settings=Settings(min_coverage=0.5))
    assert (found.difference, found.task_weighted_a, found.task_weighted_b) == (20, 120, 100)
    [nothing] = compare(
        side("a", [1, 1], cost=None), b, ["cost_usd"], settings=Settings(min_coverage=0)
    )
    assert (nothing.difference, nothing.coverage) == (None, 0)


def test_every_metric_can_be_compared() -> None:
    """Each metric of a cell gives its difference."""
    a = side("a", [1, 0], total=220, calls=3, cost="0.30", wall_ms=4000.0, composite=0.75)
    found = compare(a, side("b", [0, 0]), METRICS)
    differences = {each.metric: each.difference for each in found}
    assert differences == pytest.approx(
        {
            "pass_rate": 0.5,
            "composite": 0.25,
            "total_tokens": 100,
            "model_calls": 1,
            "cost_usd": 0.2,
            "wall_clock_ms": 1000,
            "blast_radius": 0,
        }
    )


def test_many_comparisons_are_corrected_together() -> None:
    """Three agents make three comparisons; the smallest p is tripled, others not lowered."""
    sides = [side("a", [1] * 6), side("b", [0] * 6), side("c", [0] * 5 + [1])]
    found = compare_all(sides)
    assert [(each.a, each.b) for each in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [each.p for each in found] == [2 / 64, 4 / 64, 1]
    assert [each.p_holm for each in found] == [6 / 64, 8 / 64, 1]
    mixed = compare_all([*sides, ("d", [cell("s/d/m/f/other")])])
    assert mixed[2].p_holm is None


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=2, max_size=8))
def test_swapping_the_sides_mirrors_the_effect(passes: list[tuple[int, int]]) -> None:
    """B against A is the negative of A against B with the same p values."""
    a, b = side("a", [x for x, _ in passes]), side("b", [y for _, y in passes])
    [there], [back] = compare(a, b), compare(b, a)
    assert there.difference is not None
    assert back.difference == -there.difference
    assert (back.p, back.p_mcnemar, back.detectable) == (
        there.p,
        there.p_mcnemar,
        there.detectable,
    )
