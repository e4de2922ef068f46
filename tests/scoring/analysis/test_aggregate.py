from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.scoring.analysis.aggregate import PARTS, aggregate, part_of
from cab.scoring.analysis.estimates import Settings
from cab.scoring.analysis.observation import Observation
from cab.scoring.ids import parse_cell_id
from tests.scoring.results import cell


def test_cells_are_grouped_by_agent_and_model() -> None:
    """Two agents and two models make the groups that there are, in the order of their names."""
    groups = aggregate([cell("s/b/m/f/t"), cell("s/a/n/f/t"), cell("s/a/m/f/t"), cell("s/a/m/f/u")])
    assert [(group.key, group.cells, group.tasks) for group in groups] == [
        ({"tui": "a", "model": "m"}, 2, 2),
        ({"tui": "a", "model": "n"}, 1, 1),
        ({"tui": "b", "model": "m"}, 1, 1),
    ]


def test_every_part_of_an_id_can_make_groups() -> None:
    """Sweep, agent, model and family are parts of the id; a task comes with its family."""
    cell_id = parse_cell_id("s/a/x/m/f/t#run2")
    assert [part_of(cell_id, part) for part in PARTS] == ["s", "a", "x/m", "f", "f/t"]
    [everything] = aggregate([cell("s/a/m/f/t"), cell("s/b/m/g/t")], by=())
    assert (everything.key, everything.tasks) == ({}, 2)
    assert aggregate([]) == []


def test_estimates_of_a_group() -> None:
    """Worked: tasks of 100 passed, 300 failed tokens: 400 per pass, 200 per cell, 1/2 passed."""
    [group] = aggregate(
        [cell("s/a/m/f/t", total=100), cell("s/a/m/f/u", total=300, passed=0, wall_ms=9000.0)]
    )
    assert (group.passed, group.failed, group.pass_rate.value) == (1, 1, 1 / 2)
    assert group.tokens_per_correct.value == 400
    assert group.tokens_per_cell.value == 200
    assert group.cost_usd_per_pass.value == 0.2
    assert group.cost_usd_per_cell.value == pytest.approx(0.1, abs=1e-15)
    assert group.calls_per_cell.value == 2
    assert (group.wall_clock_ms_median.value, group.wall_clock_ms_p95.value) == (3000, 9000)
    assert group.composite.value == 0.5


def test_infrastructure_is_a_class_of_its_own() -> None:
    """1 passed, 1 broken, 1 never called: 1/1 without, 1/3 with them; their tokens are spent."""
    [group] = aggregate(
        [
            cell("s/a/m/f/t", total=100),
            cell("s/a/m/f/u", total=50, passed=None),
            cell("s/a/m/f/v", total=0, passed=1, calls=3, succeeded=0),
        ]
    )
    assert group.infrastructure == {"check_did_not_run": 1, "no_model_call": 1}
    assert (group.pass_rate.value, group.pass_rate_with_infrastructure.value) == (1, 1 / 3)
    assert (group.passed, group.failed) == (1, 0)
    assert group.tokens_per_correct.value == 150
    assert group.tokens_per_cell.value == 100


def test_a_cell_that_was_stopped_is_censored() -> None:
    """Stopped at 60 s: the median is hidden and at least 60 s, and the cell is counted."""
    [group] = aggregate([cell(wall_ms=60_000.0, stopped=True, passed=0)])
    assert (group.stopped, group.wall_clock_ms_median.value) == (1, None)
    assert group.wall_clock_ms_median.low == 60_000


def test_what_is_not_measured_is_null() -> None:
    """Without tokens and prices the estimates are None with their coverage, never 0."""
    [group] = aggregate([cell(total=None, cost=None), cell("s/aider/m/f/two")])
    for estimate in (group.tokens_per_correct, group.cost_usd_per_pass, group.tokens_per_cell):
        assert (estimate.value, estimate.coverage) == (None, 0.5)
    [loose] = aggregate(
        [cell(total=None), cell("s/aider/m/f/two")], settings=Settings(min_coverage=0.5)
    )
    assert loose.tokens_per_cell.value == 120
    assert loose.tokens_per_correct.value is None


def test_pass_at_k_is_the_mean_over_tasks() -> None:
    """1 of 2 and 2 of 2: pass@2 is 1 and 1, pass^2 is 0 and 1; three runs are too few for k = 3."""
    runs = [("t", 1, 1), ("t", 2, 0), ("u", 1, 1), ("u", 2, 1)]
    cells = [cell(f"s/a/m/f/{task}#run{run}", passed=passed) for task, run, passed in runs]
    [group] = aggregate(cells, ks=(1, 2, 3))
    one, two, three = group.of_k
    assert (one.pass_at_k.value, one.pass_hat_k.value) == (3 / 4, 3 / 4)
    assert (two.pass_at_k.value, two.pass_hat_k.value) == (1, 1 / 2)
    assert three.pass_at_k.value is None
    assert three.pass_at_k.reason == "k = 3 needs 3 runs or more; there are 2"
    [broken] = aggregate([cell(passed=None)], ks=(1,))
    assert broken.of_k[0].pass_at_k.reason == "no cells"


def test_runs_of_two_sweeps_are_runs() -> None:
    """A group that pools sweeps has their runs of a task; kept apart, each sweep has one."""
    cells = [cell(f"{sweep}/a/m/f/t", passed=passed) for sweep, passed in (("r", 1), ("s", 0))]
    [pooled] = aggregate(cells, by=("tui",), ks=(2,))
    assert (pooled.of_k[0].pass_at_k.value, pooled.of_k[0].pass_hat_k.value) == (1, 0)
    for apart in aggregate(cells, by=("sweep",), ks=(2,)):
        assert apart.of_k[0].pass_at_k.reason == "k = 2 needs 2 runs or more; there is 1"


def test_a_group_that_solves_nothing_is_on_no_front() -> None:
    """However little it takes: what counts is what a solved task takes, failures included."""
    groups = aggregate(
        [
            cell("s/a/m/f/t", passed=False, cost="0.01", total=10),
            cell("s/b/m/f/t", cost="0.20", total=50),
            *(
                cell(f"s/c/m/f/t#run{run}", passed=run == 1, cost="0.15", total=40)
                for run in (1, 2)
            ),
        ]
    )
    fronts = [(group.on_cost_front, group.on_token_front) for group in groups]
    assert fronts == [("unknown", "unknown"), ("front", "front"), ("dominated", "dominated")]


def test_fronts_of_cost_and_of_tokens() -> None:
    """The dearer agent that passes no more is dominated; an unknown price is on no front."""
    groups = aggregate(
        [
            cell("s/a/m/f/t", cost="0.10", total=100),
            cell("s/b/m/f/t", cost="0.20", total=50),
            cell("s/c/m/f/t", cost=None, total=None),
        ]
    )
    assert [group.on_cost_front for group in groups] == ["front", "dominated", "unknown"]
    assert [group.on_token_front for group in groups] == ["dominated", "front", "unknown"]


CELLS = st.lists(
    st.builds(
        lambda tui, task, run, passed, total, wall: cell(
            f"s/{tui}/m/f/{task}#run{run}", passed=passed, total=total, wall_ms=wall
        ),
        st.sampled_from("ab"),
        st.sampled_from("tuv"),
        st.integers(1, 3),
        st.sampled_from([0, 1, None]),
        st.one_of(st.none(), st.integers(20, 10**6)),
        st.floats(0, 1e6),
    ),
    max_size=12,
)


@settings(deadline=None)  # a bootstrap draws 1999 times
@given(CELLS, st.randoms(use_true_random=False))
def test_the_order_of_the_cells_does_not_matter(cells: list[Observation], random: object) -> None:
    """The same cells in any order give the same bytes, which are JSON without NaN."""
    shuffled = list(cells)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    loose = Settings(min_coverage=0.1)
    first, again = (
        orjson.dumps(aggregate(each, ks=(1, 2), settings=loose)) for each in (cells, shuffled)
    )
    assert first == again
    for group in aggregate(cells):
        assert group.passed + group.failed + sum(group.infrastructure.values()) == group.cells


@pytest.mark.parametrize("k", [0, -1, "2", 1.5, None])
def test_a_k_is_a_whole_number(k: Any) -> None:
    """Anything else is an error that says so, also where there is no cell."""
    with pytest.raises(ValueError, match="a whole number from 1 on"):
        aggregate([], ks=(k,))
