"""Shows the progress of a sweep: a bar on a terminal, one line per finished cell anywhere else."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from cab.adapters.sweeps.journal import Begin, End
from cab.adapters.sweeps.scheduler import ProgressListener
from cab.adapters.sweeps.state import FAILED
from cab.scoring.ledger.money import dollars
from cab.scoring.ledger.totals import CallTotals
from cab.scoring.printable import printable


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
        self._jobs = jobs
        self._clock_s = clock_s
        self._to_run = total - done
        self._ended = set[str]()
        self._running: dict[str, float] = {}
        self._durations_s: list[float] = []

    @property
    def running(self) -> int:
        """How many run now."""
        return len(self._running)

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
        self._durations_s.append(duration_s)

    @property
    def left_s(self) -> float | None:
        """Estimated time for the cells that are still to be run, in s; None before the first one has ended."""
        if not self._durations_s:
            return None
        mean_s, now_s = sum(self._durations_s) / len(self._durations_s), self._clock_s()
        gone_s = sum(min(mean_s, now_s - began_s) for began_s in self._running.values())
        to_run = max(0, self._to_run)
        return max(0.0, mean_s * to_run - gone_s) / min(self._jobs, max(1, to_run))


@contextmanager
def show_progress(stream: TextIO, name: str, counts: ProgressCounts) -> Generator[ProgressListener]:
    """Show a sweep while the block runs.

    Args:
        stream: Where to write; a bar is drawn if it is a terminal.
        name: The sweep.
        counts: What is done.
    """
    if not stream.isatty():
        yield _LineProgress(stream, counts)
        return
    console = Console(file=stream)
    detail = _DetailColumn(counts)
    progress = Progress(
        TextColumn(f"sweep {printable(name)}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        detail,
        console=console,
        transient=True,
    )
    with progress:
        yield _BarProgress(progress, counts, detail)


class _LineProgress:
    def __init__(self, stream: TextIO, counts: ProgressCounts) -> None:
        self._stream = stream
        self._counts = counts

    def resumed(self, done: int, to_run: int) -> None:
        self._counts.resume(done, to_run)

    def started(self, begin: Begin) -> None:
        self._counts.start(begin.slot)

    def ended(self, end: End, duration_s: float, spend: CallTotals) -> None:
        del spend
        self._counts.add(end, duration_s)
        self._print(f"{self._counts.done}/{self._counts.total} {line_of(end, duration_s)}")

    def message(self, text: str) -> None:
        self._print(text)

    def _print(self, text: str) -> None:
        self._stream.write(f"{printable(text)}\n")
        self._stream.flush()


class _DetailColumn(ProgressColumn):
    """What runs, was spent and is left: made anew each time, as the time that is left goes by."""

    def __init__(self, counts: ProgressCounts) -> None:
        super().__init__()
        self._counts = counts
        self.spend: CallTotals | None = None

    def render(self, task: Task) -> Text:
        del task
        counts, parts = self._counts, [f"{self._counts.running} running"]
        if counts.failed:
            parts.append(f"{counts.failed} failed attempts")
        if self.spend is not None:
            parts.append(spend_text(self.spend))
        if counts.left_s is not None:
            parts.append(f"{_clock(counts.left_s)} left")
        return Text(", ".join(parts))


class _BarProgress:
    def __init__(self, progress: Progress, counts: ProgressCounts, detail: _DetailColumn) -> None:
        self._progress = progress
        self._counts = counts
        self._detail = detail
        self._task = progress.add_task("", total=counts.total, completed=counts.done)

    def resumed(self, done: int, to_run: int) -> None:
        self._counts.resume(done, to_run)
        self._show()

    def started(self, begin: Begin) -> None:
        self._counts.start(begin.slot)
        self._show()

    def ended(self, end: End, duration_s: float, spend: CallTotals) -> None:
        self._detail.spend = spend
        self._counts.add(end, duration_s)
        if end.verdict != "complete":
            self.message(line_of(end, duration_s))
        self._show()

    def message(self, text: str) -> None:
        self._progress.console.print(Text(printable(text)))

    def _show(self) -> None:
        self._progress.update(self._task, completed=self._counts.done)


def line_of(end: End, duration_s: float) -> str:
    """Return one finished attempt as a line."""
    if end.verdict != "complete":
        return f"{end.cell_id}: no result, {end.verdict}: {end.reason}"
    verdict = {True: "passed", False: "did not pass", None: "no verdict"}[end.passed]
    calls = "calls not known" if end.calls is None else f"{end.calls} calls"
    tokens = "tokens not known" if end.tokens is None else f"{end.tokens:,} tokens"
    return f"{end.cell_id}: {verdict}, {calls}, {tokens}, {duration_s:.1f} s"


def recovered_line(end: End) -> str:
    """Return one attempt that a killed sweep left, and that has no result, as a line."""
    moved = f"; its bundle is moved to {FAILED}/" if end.bundle else ""
    return f"{end.cell_id}: {end.reason}{moved}"


def spend_text(spend: CallTotals) -> str:
    """Return what was spent, for people; what is not known is said."""
    tokens, cost = spend.tokens.total, spend.cost
    most = "" if tokens.upper is None else f", at most {tokens.upper:,}"
    uncounted = f" ({tokens.missing} calls not counted{most})" if tokens.missing else ""
    parts = [f"{spend.calls:,} calls", f"{tokens.known:,} tokens{uncounted}"]
    if cost.known or not cost.missing:
        unpriced = f" ({cost.missing} calls without a price)" if cost.missing else ""
        parts.append(f"{dollars(cost.known)}{unpriced}")
    return ", ".join(parts)


def _clock(duration_s: float) -> str:
    minutes, seconds = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
