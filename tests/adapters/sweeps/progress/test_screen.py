"""The screen of a sweep, as a terminal gets it."""

import os
import pty
from contextlib import suppress
from typing import Any

import pytest
from rich.console import Console

from cab.adapters.sweeps.progress.counts import ProgressCounts
from cab.adapters.sweeps.progress.screen import ScreenProgress, show_progress
from cab.adapters.sweeps.sweepfile import Budget
from tests.adapters.sweeps.progress.attempts import CELL, SPEND, begin, end
from tests.adapters.sweeps.spend import spend

BUDGET = Budget.model_validate({"calls": 100, "tokens": 5000, "usd": "2.50", "wall_s": 3600})
SEEN: dict[str, Any] = {
    "cell_id": CELL,
    "first_ms": 0,
    "calls": 7,
    "in_flight": 1,
    "failed": 2,
    "tokens": 800,
    "tokens_mark": "measured",
    "cost_usd": "0.5",
    "cost_is_least": False,
    "price_kind": "table",
    "price_sources": ["table:acme@1+0a"],
    "budget": {"calls": {"limit": 10, "spent": 7}, "expires_ms": 100_000},
}


def state(*cells: dict[str, Any]) -> dict[str, Any]:
    """Return what the proxy says it does."""
    return {"at_ms": 50_000, "running_cells": len(cells), "cells": list(cells), "ended": []}


def screen(width: int, counts: ProgressCounts, budget: Budget = BUDGET) -> ScreenProgress:
    """Return what shows a sweep on a terminal of that width."""
    return ScreenProgress("s", counts, budget, Console(width=width, height=24, record=True))


def lines(shown: ScreenProgress) -> list[str]:
    """Return what it shows now, without what fills the lines up."""
    console = shown._console
    with console.capture() as captured:
        console.print(shown.render())
    return [line.rstrip() for line in captured.get().splitlines()]


def test_nothing_is_known_at_first() -> None:
    """What nobody knows yet is a question mark, and not 0; the time that is left, too."""
    counts = ProgressCounts(4, 0, 1, clock_s=lambda: 0)
    found = lines(screen(120, counts))
    assert found[0] == "sweep s: 0 of 4 cells done, 0 running, 4 to start"
    assert found[1] == "elapsed 0:00, left ?"
    assert found[2] == "spent ? of 100 calls, ? of 5,000 tokens, ? of $2.50, 0:00 of 1:00:00"


def test_what_runs_is_part_of_what_is_spent() -> None:
    """Cells run by name, with what the proxy has seen of them; a cell that it has not seen has spent nothing."""
    now_s = 0.0
    counts = ProgressCounts(4, 0, 2, clock_s=lambda: now_s)
    shown = screen(160, counts)
    shown.resumed(1, 3, SPEND, 60)
    shown.started(begin(CELL))
    shown.started(begin("s/a/m/f/other").model_copy(update={"cell_id": "s/a/m/f/other"}))
    now_s = 50.0
    unseen = lines(shown)
    assert unseen[2].startswith("spent ≥3 of 100 calls, ≥1,200 of 5,000 tokens, ≥$0.25 of $2.50")
    assert [line.split() for line in unseen if "a/m/f/t#run1" in line] == [
        ["a/m/f/t#run1", "0:50", *["?"] * 5, "not", "known"]
    ]

    shown.state(state(SEEN))
    seen = lines(shown)
    assert seen[0] == "sweep s: 1 of 4 cells done, 2 running, 1 to start"
    assert seen[2] == (
        "spent 10 of 100 calls, 2,000 of 5,000 tokens, $0.75 of $2.50 by table, 1:50 of 1:00:00"
    )
    [row] = [line for line in seen if "a/m/f/t#run1" in line]
    assert row.split()[:9] == [
        *["a/m/f/t#run1", "0:50", "7", "1", "800", "2", "≈$0.50", "by", "table"]
    ]
    assert row.endswith("7 of 10 calls, 0:50 of 1:40")

    shown.state({**state(), "ended": [SEEN]})
    assert lines(shown)[2:] == seen[2:]  # sealed, and still being scored

    shown.state(state({**SEEN, "tokens_mark": "at least"}))
    assert "≥2,000 of 5,000 tokens" in lines(shown)[2]
    shown.ended(end("infrastructure", reason="it broke"), 50, SPEND)
    assert "1 failed attempts" in lines(shown)[0]
    assert lines(shown)[-1] == f"{CELL}: no result, infrastructure: it broke"


@pytest.mark.parametrize("width", [20, 60, 80, 130, 200])
def test_no_line_is_too_wide_and_no_screen_too_high(width: int) -> None:
    """However narrow the terminal, no line wraps; of more cells than lines the number is said."""
    counts = ProgressCounts(90, 0, 40)
    shown = screen(width, counts)
    shown.resumed(0, 90, SPEND, 0)
    cells = [f"s/agent/a-long-name-of-a-model/family/task-{n}#run1" for n in range(40)]
    for cell in cells:
        shown.started(begin(cell).model_copy(update={"cell_id": cell}))
    shown.state(state(*({**SEEN, "cell_id": cell} for cell in cells)))
    shown.message("a message that is longer than most terminals are wide " * 9)
    found = lines(shown)
    assert len(found) <= 24
    assert max(map(len, found)) <= width
    assert any(line.startswith("2") and "more cells" in line for line in found)
    rows = [line for line in found if "task-" in line]
    if width >= 60:
        assert all("#run1" in row and " 7 " in row and row.count("…") <= 1 for row in rows)
        assert len({row.split()[0] for row in rows}) == len(rows)


def all_of(terminal: int) -> str:
    """Return all that was written to the other end of a terminal, which is closed by now."""
    pieces: list[bytes] = []
    with suppress(OSError):
        while piece := os.read(terminal, 1 << 16):
            pieces.append(piece)
    os.close(terminal)
    return b"".join(pieces).decode()


def test_the_terminal_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """A screen of its own is left with its cursor, by an error too; only messages stay."""
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    counts = ProgressCounts(4, 0, 1)
    with (
        os.fdopen(theirs, "w") as terminal,
        suppress(KeyboardInterrupt),
        show_progress(terminal, "first", counts, BUDGET) as listener,
    ):
        assert listener.follows
        listener.resumed(1, 3, spend(), 0)
        listener.started(begin())
        listener.ended(end("budget", reason="too little"), 70, SPEND)
        listener.close()  # as a second signal does
        raise KeyboardInterrupt
    before, _, after = all_of(ours).rpartition("\x1b[?1049l")
    assert before.count("\x1b[?1049h") == 1
    assert before.rfind("\x1b[?25h") > before.rfind("\x1b[?25l")
    assert "sweep first: 1 of 4 cells done" in before
    assert f"{CELL}: no result, budget: too little" in after.replace("\r\n", "")
