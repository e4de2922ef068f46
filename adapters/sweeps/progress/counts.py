"""What of a sweep is done, and how long the rest may take."""

import time
from collections.abc import Callable

from cab.adapters.sweeps.journal import End


class ProgressCounts:
    """What is done, and how long the rest may take.

    Args:
        total: Cells that the sweep should have.
        done: Those that have a result already.
        jobs: How many run at the same time.
        clock_s: Monotonic clock.
    """

    def __init__(
        self, total: int, done: int, jobs: int, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.total = total
        self.done = done
        self.failed = 0
        self.jobs = jobs
        self._clock_s = clock_s
        self._to_run = total - done
        self._ended = set[str]()
        self._running: dict[str, float] = {}
        self._attempts, self._attempts_s = 0, 0.0
        self._began_s = clock_s()

    @property
    def running(self) -> int:
        """How many run now."""
        return len(self._running)

    @property
    def left(self) -> int:
        """How many are still to be run, those that run now among them."""
        return max(0, self._to_run)

    @property
    def elapsed_s(self) -> float:
        """How long this session runs, in s."""
        return self._clock_s() - self._began_s

    def running_s(self, slot: str) -> float:
        """Return how long a slot's attempt runs, in s."""
        return self._clock_s() - self._running[slot]

    def resume(self, done: int, to_run: int) -> None:
        """Take over what a sweep found when it went on: some results may be lost, some cells cannot be run."""
        self.done, self._to_run = done, to_run

    def start(self, slot: str) -> None:
        """Count an attempt that starts; one after a failed one is one more to run."""
        self._running[slot] = self._clock_s()
        if slot in self._ended:
            self._ended.discard(slot)
            self._to_run += 1

    def add(self, end: End, duration_s: float) -> None:
        """Count an attempt that ended."""
        self._running.pop(end.slot, None)
        if end.verdict == "complete":
            self.done += 1
        else:
            self.failed += 1
        # Without a result, too: it is over unless it is started once more.
        self._to_run -= end.slot not in self._ended
        self._ended.add(end.slot)
        self._attempts += 1
        self._attempts_s += duration_s

    @property
    def left_s(self) -> float | None:
        """Estimated time for the cells that are still to be run, in s.

        It is the mean of the attempts that have ended, times the cells that are to be run, over how many run at
        once, less what those that run have behind them. Of cells that start together the short ones end first;
        so there is no estimate (None) before as many have ended as run at the same time.
        """
        at_once = min(self.jobs, max(1, self.left))
        if self._attempts < at_once:
            return None
        mean_s, now_s = self._attempts_s / self._attempts, self._clock_s()
        gone_s = sum(min(mean_s, now_s - began_s) for began_s in self._running.values())
        return max(0.0, mean_s * self.left - gone_s) / at_once
