from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from cab.scoring import TooFewRuns
from cab.scoring.stats import RatioParts, bootstrap_ratio
from cab.scoring.stats.seeded import SeededDraws

PARTS = st.builds(RatioParts, st.integers(0, 10_000), st.integers(0, 4))
TASKS = st.dictionaries(st.text(max_size=3), PARTS, min_size=2, max_size=8).filter(
    lambda tasks: any(part.below for part in tasks.values())
)


@pytest.mark.parametrize(
    "tasks",
    [
        [RatioParts(300, 3), RatioParts(100, 1), RatioParts(0, 0)],
        [RatioParts(Fraction(1, 3), 1), RatioParts(1, 3)],
        [RatioParts(0.1 + 0.2, 1), RatioParts(0.3, 1)],
    ],
)
def test_tasks_that_are_alike_have_no_interval(tasks: list[RatioParts]) -> None:
    """Every draw of such tasks has the same ratio, which says nothing of the next task."""
    assert bootstrap_ratio(dict(zip("abc", tasks, strict=False))) is None


def test_two_tasks_have_three_outcomes() -> None:
    """Draws of two tasks are aa, ab, bb: 1/4, 1/2, 1/4, so the ends are the tasks' own ratios."""
    interval = bootstrap_ratio({"a": RatioParts(10, 1), "b": RatioParts(30, 1)})
    assert interval == (10, 30, 0.95)
    half = bootstrap_ratio({"a": RatioParts(10, 1), "b": RatioParts(30, 1)}, confidence=0.2)
    assert half == (20, 20, 0.2)


def test_draws_without_a_pass_leave_it_open() -> None:
    """A quarter of the draws holds no pass: the interval has no upper end."""
    interval = bootstrap_ratio({"a": RatioParts(10, 1), "b": RatioParts(30, 0)})
    assert interval == (10, None, 0.95)


def test_what_is_not_defined_is_an_error() -> None:
    """No task, one task, no pass at all, and too few draws for the confidence are errors."""
    for tasks in ({}, {"a": RatioParts(10, 1)}):
        with pytest.raises(TooFewRuns, match="2 tasks or more"):
            bootstrap_ratio(tasks)
    pair = {"a": RatioParts(10, 0), "b": RatioParts(30, 0)}
    with pytest.raises(ValueError, match="denominator is 0"):
        bootstrap_ratio(pair)
    with pytest.raises(TooFewRuns, match="needs 39 draws or more; there are 38"):
        bootstrap_ratio({"a": RatioParts(10, 1), "b": RatioParts(30, 1)}, draws=38)
    with pytest.raises(ValueError, match="confidence"):
        bootstrap_ratio(pair, confidence=0)


@settings(max_examples=30, deadline=None)
@given(TASKS, st.integers(0, 2**32), st.sampled_from([99, 199, 999]))
def test_agrees_with_numpy_on_the_same_draws(
    tasks: dict[str, RatioParts], seed: int, draws: int
) -> None:
    """numpy's sums, and its percentiles at the same ranks, give the same ends to 1e-12."""
    source = SeededDraws(seed)
    taken = np.array([source.indices(len(tasks)) for _ in range(draws)])
    parts = np.array([tasks[name] for name in sorted(tasks)], dtype=float)[taken].sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(parts[:, 1] > 0, parts[:, 0] / parts[:, 1], np.inf)
    interval = bootstrap_ratio(tasks, confidence=0.9, draws=draws, seed=seed)
    if interval is None:
        assert np.ptp(ratios[np.isfinite(ratios)]) <= 1e-12 * ratios[np.isfinite(ratios)].max()
        return
    # 0.05 (B + 1) from either end is a whole number for these B
    place = (draws + 1) // 20
    assert interval.low == pytest.approx(np.partition(ratios, place - 1)[place - 1], rel=1e-12)
    high = np.partition(ratios, draws - place)[draws - place]
    assert interval.high == (None if np.isinf(high) else pytest.approx(high, rel=1e-12))


def test_more_tasks_than_draws_are_kept_for() -> None:
    """Thousands of tasks, whose draws are not kept, give an interval round the ratio all the same."""
    tasks = {f"{index:05}": RatioParts(100 + index % 7, 1) for index in range(41_000)}
    interval = bootstrap_ratio(tasks, draws=99, confidence=0.9)
    assert interval is not None
    ratio = sum(float(part.above) for part in tasks.values()) / len(tasks)
    assert interval.high is not None
    assert ratio - 0.1 < interval.low < ratio < interval.high < ratio + 0.1


def test_scipy_comes_to_much_the_same() -> None:
    """scipy's percentile bootstrap, with its own generator, has ends within 2 % of the ratio."""
    tasks = {str(i): RatioParts(1000 + 37 * (i * 7 % 23), 1 + i % 3) for i in range(40)}
    above, below = zip(*tasks.values(), strict=True)
    theirs = scipy_stats.bootstrap(
        (np.array(above), np.array(below)),
        lambda a, b, axis=-1: a.sum(axis=axis) / b.sum(axis=axis),
        paired=True,
        n_resamples=4999,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    mine = bootstrap_ratio(tasks, draws=4999)
    assert mine is not None
    ratio = sum(above) / sum(below)
    assert mine.low == pytest.approx(theirs.low, abs=0.02 * ratio)
    assert mine.high == pytest.approx(theirs.high, abs=0.02 * ratio)


@settings(max_examples=30, deadline=None)
@given(TASKS)
def test_order_does_not_matter_and_scale_does(tasks: dict[str, RatioParts]) -> None:
    """Any order of tasks gives the same interval; four times the tokens give four times the ends."""
    interval = bootstrap_ratio(tasks, draws=99)
    assert bootstrap_ratio(dict(reversed(tasks.items())), draws=99) == interval
    scaled = {name: RatioParts(4 * part.above, part.below) for name, part in tasks.items()}
    larger = bootstrap_ratio(scaled, draws=99)
    assert (larger is None) is (interval is None)
    if larger is None or interval is None:
        return
    assert Fraction(larger.low) == 4 * Fraction(interval.low)
    assert larger.high == (None if interval.high is None else 4 * interval.high)
