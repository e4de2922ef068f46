"""The progress of a sweep on a screen of the terminal: its running cells as the proxy sees them, and what is left."""

import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from cab.adapters.sweeps.journal import Begin, End
from cab.adapters.sweeps.progress.counts import ProgressCounts
from cab.adapters.sweeps.progress.lines import LineProgress
from cab.adapters.sweeps.progress.texts import line_of
from cab.adapters.sweeps.scheduler import ProgressListener
from cab.adapters.sweeps.sweepfile import Budget
from cab.adapters.ui.format import by_kind, clock_text
from cab.adapters.ui.live_state import AT_LEAST, RunningCell, cell_table, one_line
from cab.scoring.ledger.money import dollars
from cab.scoring.ledger.totals import CallTotals
from cab.scoring.prices.sources import PriceKind, weakest_kind, weakest_of
from cab.scoring.printable import printable

_REFRESHES_PER_S = 2
_MESSAGES = 4
"""So many of the last messages are shown; all are printed at the end."""
_TABLE_LINES = 4
"""Of a table, besides its rows."""


@contextmanager
def show_progress(
    stream: TextIO, name: str, counts: ProgressCounts, budget: Budget, *, as_lines: bool = False
) -> Generator[ProgressListener]:
    """Show a sweep while the block runs.

    Args:
        stream: Where to write; a screen of its own is used if it is a terminal.
        name: The sweep.
        counts: What is done.
        budget: What it may spend.
        as_lines: Whether lines are written to a terminal too.
    """
    if as_lines or not stream.isatty():
        yield LineProgress(stream, counts)
        return
    console = Console(file=stream)
    shown = ScreenProgress(name, counts, budget, console)
    try:
        with shown.live:
            yield shown
    finally:
        # The terminal is as it was before; what happened stays to be read.
        for message in shown.messages:
            console.print(Text(message))


class ScreenProgress:
    """Shows a sweep on a screen.

    Args:
        name: The sweep.
        counts: What is done.
        budget: What it may spend.
        console: The terminal.
    """

    follows = True

    def __init__(self, name: str, counts: ProgressCounts, budget: Budget, console: Console) -> None:
        self.messages: list[str] = []
        self._name = name
        self._counts = counts
        self._budget = budget
        self._console = console
        self._spend: CallTotals | None = None
        self._wall_before_s = 0.0
        self._running: dict[str, Begin] = {}
        self._state: Mapping[str, Any] | None = None
        self._lock = threading.Lock()  # it is drawn by a thread of its own
        self.live = Live(
            console=console,
            screen=True,
            get_renderable=self.render,
            refresh_per_second=_REFRESHES_PER_S,
        )

    def resumed(self, done: int, to_run: int, spend: CallTotals, wall_s: float) -> None:
        """Take note of what was done and spent before."""
        with self._lock:
            self._counts.resume(done, to_run)
            self._spend, self._wall_before_s = spend, wall_s
        self._draw()

    def started(self, begin: Begin) -> None:
        """Take note of an attempt that starts."""
        with self._lock:
            self._counts.start(begin.slot)
            self._running[begin.slot] = begin
        self._draw()

    def ended(self, end: End, duration_s: float, spend: CallTotals) -> None:
        """Take note of how an attempt ended."""
        with self._lock:
            self._counts.add(end, duration_s)
            self._running.pop(end.slot, None)
            self._spend = spend
        if end.verdict != "complete":
            self.message(line_of(end, duration_s))
        self._draw()

    def message(self, text: str) -> None:
        """Show a message, and keep it."""
        with self._lock:
            self.messages.append(printable(text))
        self._draw()

    def state(self, state: Mapping[str, Any] | None) -> None:
        """Take note of what the proxy does; None: that is not known any more."""
        with self._lock:
            self._state = state

    def close(self) -> None:
        """Leave the screen."""
        self.live.stop()

    def _draw(self) -> None:
        if self.live.is_started:
            self.live.refresh()

    def render(self) -> RenderableType:
        """Return what is shown now: no line is wider than the terminal, nor are there more than it has."""
        width, height = self._console.size
        with self._lock:
            head = [Text(self._summary(), style="bold"), Text(self._times()), Text(self._spent())]
            tail = [Text(message, style="dim") for message in self.messages[-_MESSAGES:]]
            rows = self._rows()
        room = max(1, height - len(head) - len(tail) - _TABLE_LINES - 1)
        if len(rows) > room:
            tail.insert(0, Text(f"{len(rows) - room} more cells run", style="dim"))
        lines = map(one_line, head), map(one_line, tail)
        return Group(*lines[0], cell_table(rows[:room], width), *lines[1])

    def _summary(self) -> str:
        counts = self._counts
        parts = [f"{counts.done} of {counts.total} cells done", f"{counts.running} running"]
        if counts.failed:
            parts.append(f"{counts.failed} failed attempts")
        parts.append(f"{max(0, counts.left - counts.running)} to start")
        return f"sweep {printable(self._name)}: {', '.join(parts)}"

    def _times(self) -> str:
        left_s = self._counts.left_s
        left = "?" if left_s is None else f"about {clock_text(left_s)}"
        return f"elapsed {clock_text(self._counts.elapsed_s)}, left {left}"

    def _spent(self) -> str:
        """Return what the sweep has spent, its running cells included, of what it may spend."""
        spend, budget = self._spend, self._budget
        calls = tokens = usd = None
        least = least_usd = ""
        if spend is not None:
            cells, is_whole = self._seen()
            calls = spend.calls + sum(int(cell["calls"]) for cell in cells)
            tokens = spend.charged_tokens + sum(int(cell["tokens"]) for cell in cells)
            prices = [Decimal(cell["cost_usd"]) for cell in cells if cell["cost_usd"] is not None]
            unpriced = spend.cost.missing or any(cell["calls"] for cell in cells)
            if spend.cost.known or prices or not unpriced:
                usd = spend.charged_usd + sum(prices)
            least = "" if is_whole else AT_LEAST
            is_priced = is_whole and not any(cell["cost_is_least"] for cell in cells)
            least_usd = "" if is_priced else AT_LEAST
        parts = [
            _of(None if calls is None else f"{least}{calls:,}", budget.calls, "calls"),
            _of(None if tokens is None else f"{least}{tokens:,}", budget.tokens, "tokens"),
        ]
        if usd is not None or budget.usd is not None:
            spent = None if usd is None else f"{least_usd}{dollars(usd)}"
            kinds: list[PriceKind | None] = [cell["price_kind"] for cell in self._seen()[0]]
            if spend is not None:
                kinds.append(weakest_kind(spend.cost.price_sources))
            by = by_kind(weakest_of(kind for kind in kinds if kind is not None))
            parts.append(f"{_of(spent, dollars(budget.usd))}{by}")
        if budget.wall_s is not None:
            wall_s = self._wall_before_s + self._counts.elapsed_s
            parts.append(f"{clock_text(wall_s)} of {clock_text(budget.wall_s)}")
        return f"spent {', '.join(parts)}"

    def _seen(self) -> tuple[list[Mapping[str, Any]], bool]:
        """Return the running cells that the proxy knows, and whether all that they spent is in that."""
        if self._state is None:
            return [], not self._running
        known = self._known()
        cells = [known[b.cell_id] for b in self._running.values() if b.cell_id in known]
        whole = all(cell["tokens_mark"] not in ("at least", "not recorded") for cell in cells)
        return cells, whole and self._state["running_cells"] <= len(self._state["cells"])

    def _known(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the cells that the proxy knows; one that is sealed is still being scored."""
        state = self._state
        if state is None:
            return {}
        return {cell["cell_id"]: cell for cell in (*state["ended"], *state["cells"])}

    def _rows(self) -> list[RunningCell]:
        state, cells = self._state, self._known()
        prefix = f"{self._name}/"
        return [
            RunningCell(
                begin.cell_id.removeprefix(prefix),
                self._counts.running_s(slot),
                cells.get(begin.cell_id),
                0 if state is None else state["at_ms"],
            )
            for slot, begin in self._running.items()
        ]


def _of(spent: str | None, most: str | int | None, unit: str = "") -> str:
    """Return an amount, of what it may come to where that is limited."""
    limit = "" if most is None else f" of {most if isinstance(most, str) else f'{most:,}'}"
    return f"{'?' if spent is None else spent}{limit} {unit}".rstrip()
