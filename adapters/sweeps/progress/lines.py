"""The progress of a sweep as lines, where there is no terminal."""

from collections.abc import Mapping
from typing import Any, TextIO

from cab.adapters.sweeps.journal import Begin, End
from cab.adapters.sweeps.progress.counts import ProgressCounts
from cab.adapters.sweeps.progress.texts import line_of
from cab.scoring.ledger.totals import CallTotals
from cab.scoring.printable import printable


class LineProgress:
    """Writes a line for each attempt that ended, and for each message.

    Args:
        stream: Where to.
        counts: What is done.
    """

    follows = False

    def __init__(self, stream: TextIO, counts: ProgressCounts) -> None:
        self._stream = stream
        self._counts = counts

    def resumed(self, done: int, to_run: int, spend: CallTotals, wall_s: float) -> None:
        """Take note of what was done before."""
        del spend, wall_s
        self._counts.resume(done, to_run)

    def started(self, begin: Begin) -> None:
        """Take note of an attempt that starts."""
        self._counts.start(begin.slot)

    def ended(self, end: End, duration_s: float, spend: CallTotals) -> None:
        """Write how an attempt ended."""
        del spend
        self._counts.add(end, duration_s)
        self._print(f"{self._counts.done}/{self._counts.total} {line_of(end, duration_s)}")

    def state(self, state: Mapping[str, Any] | None) -> None:
        """Take no note of what the proxy does."""

    def message(self, text: str) -> None:
        """Write a message."""
        self._print(text)

    def close(self) -> None:
        """Do nothing: what is written stays."""

    def _print(self, text: str) -> None:
        self._stream.write(f"{printable(text)}\n")
        self._stream.flush()
