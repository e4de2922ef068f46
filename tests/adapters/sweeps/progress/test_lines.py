"""The progress of a sweep where there is no terminal."""

import io
import os
import pty

from cab.adapters.sweeps.progress.counts import ProgressCounts
from cab.adapters.sweeps.progress.screen import show_progress
from cab.adapters.sweeps.sweepfile import Budget
from tests.adapters.sweeps.progress.attempts import CELL, SPEND, begin, end
from tests.adapters.sweeps.spend import spend


def test_lines() -> None:
    """In a pipe there is one line per attempt that ended, and one per message, without control characters."""
    stream = io.StringIO()
    with show_progress(stream, "s", ProgressCounts(2, 0, 1), Budget()) as listener:
        assert not listener.follows
        listener.resumed(0, 2, spend(), 0)
        listener.started(begin())
        listener.ended(end(), 1.25, SPEND)
        listener.ended(end("infrastructure", reason="it \x1b[2J broke"), 1, SPEND)
        listener.message("stopped")

    assert stream.getvalue().splitlines() == [
        f"1/2 {CELL}: passed, 3 calls, 1,200 tokens, 1.2 s",
        f"1/2 {CELL}: no result, infrastructure: it \\x1b[2J broke",
        "stopped",
    ]


def test_lines_on_a_terminal() -> None:
    """If they are asked for, a terminal gets them too, without a control sequence."""
    ours, theirs = pty.openpty()
    counts = ProgressCounts(1, 0, 1)
    with os.fdopen(theirs, "w") as terminal:
        with show_progress(terminal, "s", counts, Budget(), as_lines=True) as listener:
            listener.ended(end(), 1, SPEND)
        shown = os.read(ours, 1000)
    os.close(ours)
    assert shown == f"1/1 {CELL}: passed, 3 calls, 1,200 tokens, 1.0 s\r\n".encode()
