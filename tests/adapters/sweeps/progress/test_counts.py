"""What is done, and how long the rest may take."""

from cab.adapters.sweeps.progress.counts import ProgressCounts
from tests.adapters.sweeps.progress.attempts import end


def test_counts() -> None:
    """The estimate is the mean of what has ended, times what is to be run, over what runs at once."""
    now_s = 0.0
    counts = ProgressCounts(total=10, done=4, jobs=2, clock_s=lambda: now_s)
    assert counts.left_s is None

    counts.add(end(slot="1"), 10)
    assert counts.left_s is None  # of two that run at once, the shorter one ends first
    counts.add(end("infrastructure", slot="2"), 20)

    assert (counts.done, counts.failed) == (5, 1)
    assert counts.left_s == 15 * 4 / 2  # the failed one is over, unless it is started once more
    counts.start("2")
    assert counts.left_s == 15 * 5 / 2
    now_s = 5.0
    assert counts.left_s == (15 * 5 - 5) / 2  # time goes by between two cells
    now_s = 500.0
    assert counts.left_s == 15 * 4 / 2
    counts.add(end(slot="2"), 15)
    assert (counts.done, counts.running) == (6, 0)
    assert counts.left_s == 15 * 4 / 2


def test_counts_of_a_sweep_that_goes_on() -> None:
    """What was lost is not done, and what cannot be run is not waited for."""
    counts = ProgressCounts(total=4, done=0, jobs=1)
    counts.resume(done=2, to_run=1)
    counts.add(end(), 10)
    assert (counts.done, counts.left_s) == (3, 0)
