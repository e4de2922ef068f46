"""What a sweep shows while it runs."""

import io
import os
import pty
from contextlib import suppress

import pytest

from cab.adapters.sweeps.journal import AttemptOutcome, Begin, End
from cab.adapters.sweeps.progress import (
    ProgressCounts,
    line_of,
    recovered_line,
    show_progress,
    spend_text,
)
from cab.scoring.ledger.totals import CallTotals
from tests.adapters.sweeps.spend import spend

CELL = "s/a/m/f/t#run1"
SPEND = spend(calls=3, tokens=1200, usd="0.25")


def end(verdict: AttemptOutcome = "complete", **fields: object) -> End:
    """Return how an attempt ended."""
    least = {"slot": CELL, "cell_id": CELL, "verdict": verdict, "passed": True, "calls": 3}
    return End.model_validate({**least, "tokens": 1200, **fields})


def begin(slot: str = CELL) -> Begin:
    """Return how an attempt started."""
    return Begin(slot=slot, cell_id=CELL)


def test_counts() -> None:
    """The estimate is the mean of what has ended, times what is to be run, over what runs at once."""
    now_s = 0.0
    counts = ProgressCounts(total=10, done=4, jobs=2, clock_s=lambda: now_s)
    assert counts.left_s is None

    counts.add(end(slot="1"), 10)
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


def test_lines() -> None:
    """In a pipe there is one line per attempt that ended, and one per message, without control characters."""
    stream = io.StringIO()
    with show_progress(stream, "s", ProgressCounts(2, 0, 1)) as listener:
        listener.resumed(0, 2)
        listener.started(begin())
        listener.ended(end(), 1.25, SPEND)
        listener.ended(end("infrastructure", reason="it \x1b[2J broke"), 1, SPEND)
        listener.message("stopped")

    assert stream.getvalue().splitlines() == [
        f"1/2 {CELL}: passed, 3 calls, 1,200 tokens, 1.2 s",
        f"1/2 {CELL}: no result, infrastructure: it \\x1b[2J broke",
        "stopped",
    ]


def test_recovered() -> None:
    """An attempt of a killed sweep is a line, and a bundle is spoken of only where there is one."""
    killed = end("killed", reason="the sweep was killed", bundle=None)
    assert recovered_line(killed) == f"{killed.cell_id}: the sweep was killed"
    moved = recovered_line(killed.model_copy(update={"bundle": "failed/x"}))
    assert moved == f"{killed.cell_id}: the sweep was killed; its bundle is moved to failed/"


def all_of(terminal: int) -> str:
    """Return all that was written to the other end of a terminal, which is closed by now."""
    pieces: list[bytes] = []
    with suppress(OSError):
        while piece := os.read(terminal, 1 << 16):
            pieces.append(piece)
    os.close(terminal)
    return b"".join(pieces).decode()


def test_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal there is a bar with what is done, spent and left; only what failed has a line."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    ours, theirs = pty.openpty()
    counts = ProgressCounts(4, 0, 1, clock_s=lambda: 0)
    with os.fdopen(theirs, "w") as terminal, show_progress(terminal, "first", counts) as listener:
        listener.resumed(1, 3)
        listener.started(begin())
        listener.ended(end(), 70, SPEND)
        listener.started(begin("2"))
        listener.ended(end("budget", slot="2", reason="too little"), 70, SPEND)
        listener.started(begin("3"))
    shown = all_of(ours)

    assert "sweep first" in shown
    assert "2/4" in shown
    assert "1 running, 1 failed attempts, 3 calls, 1,200 tokens, $0.2500, 1:10 left" in shown
    assert f"{CELL}: no result, budget: too little" in shown
    assert "passed" not in shown


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"passed": False, "calls": 1, "tokens": None}, "did not pass, 1 calls, tokens not known"),
        ({"passed": None, "calls": None}, "no verdict, calls not known, 1,200 tokens"),
    ],
)
def test_line(fields: dict[str, object], said: str) -> None:
    """What is not known is said to be so."""
    assert line_of(end("complete", **fields), 2) == f"{CELL}: {said}, 2.0 s"


@pytest.mark.parametrize(
    ("totals", "said"),
    [
        (spend(), "0 calls, 0 tokens, $0.0000"),
        (spend(2, 10, 1, "0", 2), "2 calls, 10 tokens (1 calls not counted)"),
        (
            spend(2, 10, 0, "0.5", 1),
            "2 calls, 10 tokens, $0.5000 (1 calls without a price)",
        ),
    ],
)
def test_spend(totals: CallTotals, said: str) -> None:
    """Money is shown as far as any price is known."""
    assert spend_text(totals) == said
