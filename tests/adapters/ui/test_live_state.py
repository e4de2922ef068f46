"""A proxy's state in a terminal: every width, names of wide letters, and what is left out first."""

from io import StringIO
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from cab.adapters.ui.live_state import screen

NAMES = (
    "s/a/m/f/t",
    "s/日本語エージェント/モデル/f/任務の長い名前",
    f"s/{'a' * 100}/m/f/t#run3",
    "s/[bold]/\u202e/f/t",
)


def state(cells: int = len(NAMES)) -> dict[str, Any]:
    minute = {
        "calls": 1,
        "failed": 1,
        "tokens": 12_345_678,
        "estimated_tokens": 0,
        "uncounted_calls": 0,
        "cost_usd": None,
        "unpriced_calls": 1,
        "price_kind": None,
        "price_sources": [],
        "ttft_ms_p50": 5,
        "ttft_ms_p95": 12_000,
        "tokens_by_second": [9_876_543] * 60,
    }
    cell = {
        "first_ms": 0,
        "calls": 1234,
        "in_flight": 1,
        "failed": 0,
        "tokens": 12_345,
        "tokens_mark": "measured",
        "cost_usd": "1.25",
        "cost_is_least": False,
        "price_kind": "endpoint",
        "price_sources": ["upstream"],
        "budget": {"calls": {"limit": 5000, "spent": 1234}},
    }
    rows = [{"cell_id": NAMES[n % len(NAMES)], **cell} for n in range(cells)]
    return {
        "at_ms": 60_000,
        "running_cells": cells,
        "calls_in_flight": 1,
        "minute": minute,
        "cells": rows,
    }


def lines(width: int, height: int | None = None, cells: int = len(NAMES)) -> list[str]:
    """Return what a terminal of that width shows."""
    console = Console(file=StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(screen(state(cells), width, height))
    assert isinstance(console.file, StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [1, 7, 19, 20, 21, 40, 80, 140])
def test_a_state_fits_each_terminal(width: int) -> None:
    """No line is wider; the line of the rates is one line from 16 columns on, with the peak at its end."""
    shown = lines(width)
    assert max(map(cell_len, shown)) <= width
    if width > 16:
        (rates,) = [line for line in shown if line.endswith("peak 9,876,543/s")]
        assert rates.count("█") == min(60, width - 18)


def test_figures_stay_beside_long_names() -> None:
    """Of a narrow line half is the name's, whose end is seen, also in wide letters."""
    shown = lines(40)
    assert any("calls   tokens" in line for line in shown)
    (wide,) = [line for line in shown if "の長い名前" in line]
    assert wide.split()[-2:] == ["1,234", "12,345"]


@pytest.mark.parametrize("width", [30, 80, 140])
def test_many_cells_are_cut_where_the_screen_ends(width: int) -> None:
    """The line that says how many are not shown is on it."""
    shown = lines(width, height=24, cells=200)
    assert len(shown) <= 24
    assert any("more cells are not shown" in line for line in shown)


def test_dollars_name_their_prices() -> None:
    """Only the endpoint's own are measured; of others the kind stands at each cell, all names at the minute."""
    shown = state(2)
    source = "table:acme@1+0a"
    shown["cells"][1] |= {"price_kind": "table", "price_sources": [source]}
    shown["minute"] |= {"cost_usd": "2.5", "unpriced_calls": 0, "price_kind": "table"}
    shown["minute"]["price_sources"] = [source, "upstream"]
    console = Console(file=StringIO(), width=200)
    console.print(screen(shown, 200, None))
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    assert "cost ≈$2.50 by the endpoint, the operator's table acme@1+0a, time to first" in text
    stated, listed = [line for line in text.splitlines() if "$1.25" in line]
    assert " $1.25  " in stated
    assert " ≈$1.25 by table " in listed


def test_one_is_not_many() -> None:
    assert "1 cell running, 1 call in flight" in lines(140, cells=1)
