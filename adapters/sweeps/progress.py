"""Shows the progress of a sweep: a bar on a terminal, one line per finished cell anywhere else."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from cab.adapters.sweeps.journal import End
from cab.adapters.sweeps.scheduler import ProgressListener
from cab.adapters.sweeps.state import FAILED
from cab.scoring.ledger.totals import CallTotals
from cab.scoring.printable import printable


class ProgressCounts:
    """What is done, and how long the rest may take.

    Args:
        total: Cells that the sweep should have.
        done: Those that have a result already.
        jobs: How many run at the same time.
    """

    def __init__(self, total: int, done: int, jobs: int) -> None:
        self.total = total
        self.done = done
        self.failed = 0
        self._jobs = jobs
        self._durations_s: list[float] = []

    def add(self, end: End, duration_s: float) -> None:
        """Count an attempt that ended."""
        if end.verdict == "complete":
            self.done += 1
        else:
            self.failed += 1
        self._durations_s.append(duration_s)

    @property
    def left_s(self) -> float | None:
        """Estimated time for the missing cells, in seconds; None before the first one has ended."""
        if not self._durations_s:
            return None
        mean_s = sum(self._durations_s) / len(self._durations_s)
        return mean_s * (self.total - self.done) / min(self._jobs, max(1, self.total - self.done))


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
    progress = Progress(
        TextColumn(f"sweep {printable(name)}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
        console=console,
        transient=True,
    )
    with progress:
        yield _BarProgress(progress, counts)


class _LineProgress:
    def __init__(self, stream: TextIO, counts: ProgressCounts) -> None:
        self._stream = stream
        self._counts = counts

    def started(self, cell_id: str) -> None:
        del cell_id

    def ended(self, end: End, duration_s: float, spend: CallTotals) -> None:
        del spend
        self._counts.add(end, duration_s)
        self._print(f"{self._counts.done}/{self._counts.total} {line_of(end, duration_s)}")

    def message(self, text: str) -> None:
        self._print(text)

    def _print(self, text: str) -> None:
        self._stream.write(f"{printable(text)}\n")
        self._stream.flush()


class _BarProgress:
    def __init__(self, progress: Progress, counts: ProgressCounts) -> None:
        self._progress = progress
        self._counts = counts
        self._running = 0
        self._spend: CallTotals | None = None
        self._task = progress.add_task("", total=counts.total, completed=counts.done, detail="")

    def started(self, cell_id: str) -> None:
        del cell_id
        self._running += 1
        self._show()

    def ended(self, end: End, duration_s: float, spend: CallTotals) -> None:
        self._running -= 1
        self._spend = spend
        self._counts.add(end, duration_s)
        if end.verdict != "complete":
            self.message(line_of(end, duration_s))
        self._show()

    def message(self, text: str) -> None:
        self._progress.console.print(Text(printable(text)))

    def _show(self) -> None:
        counts, parts = self._counts, [f"{self._running} running"]
        if counts.failed:
            parts.append(f"{counts.failed} failed attempts")
        if self._spend is not None:
            parts.append(spend_text(self._spend))
        if counts.left_s is not None:
            parts.append(f"{_clock(counts.left_s)} left")
        self._progress.update(self._task, completed=counts.done, detail=", ".join(parts))


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
        parts.append(f"${cost.known:.4f}{unpriced}")
    return ", ".join(parts)


def _clock(duration_s: float) -> str:
    minutes, seconds = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
