"""A state of a proxy as a person reads it in a terminal: the last minute above, running cells below."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cab.scoring.ledger.money import dollars
from cab.scoring.printable import printable

_MARKS = {
    "measured": "",
    "estimated": "\N{ALMOST EQUAL TO}",
    "at least": "\N{GREATER-THAN OR EQUAL TO}",
}
_BLOCKS = " ▁▂▃▄▅▆▇█"
_HEAD_LINES = 9
_NARROW = 100


def screen(state: Mapping[str, Any], width: int, height: int | None) -> RenderableType:
    """Return a state to print.

    Args:
        state: As the control API sends it: docs/live.md.
        width: Of the terminal, in characters.
        height: Of the terminal, in lines; None prints all cells.
    """
    cells: list[Mapping[str, Any]] = state["cells"]
    shown = cells if height is None else cells[: max(1, height - _HEAD_LINES)]
    more = state["running_cells"] - len(shown)
    parts: list[RenderableType] = [*_minute(state, width), _cells(shown, state["at_ms"], width)]
    if more > 0:
        parts.append(Text(f"{more} more cells are not shown", style="dim"))
    return Group(*parts)


def _minute(state: Mapping[str, Any], width: int) -> list[RenderableType]:
    minute = state["minute"]
    now = f"{state['running_cells']:,} cells running, {state['calls_in_flight']:,} calls in flight"
    mark = "at least" if minute["uncounted_calls"] else "measured"
    mark = "estimated" if mark == "measured" and minute["estimated_tokens"] else mark
    p50, p95 = minute["ttft_ms_p50"], minute["ttft_ms_p95"]
    first = "not recorded" if p50 is None else f"{p50:,.0f} ms (p95 {p95:,.0f} ms)"
    figures = (
        f"last minute: {minute['calls']:,} calls, {minute['failed']:,} failed attempts, "
        f"{_MARKS[mark]}{minute['tokens']:,} tokens, "
        f"cost {_cost(minute['cost_usd'], bool(minute['unpriced_calls']))}, "
        f"time to first token {first}"
    )
    return [Text(now, style="bold"), Text(figures), Text(_sparkline(minute, width), style="blue")]


def _sparkline(minute: Mapping[str, Any], width: int) -> str:
    values: list[int] = minute["tokens_by_second"][-min(60, width - 20) :]
    most = max(values, default=0)
    line = "".join(_BLOCKS[-(-8 * value // most)] if most else " " for value in values)
    return f"{line}  {most:,} tokens/s at most"


def _cells(cells: list[Mapping[str, Any]], now_ms: int, width: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("cell", no_wrap=True, overflow="ellipsis", ratio=1)
    titles = ("age", "calls", "open", "tokens", "failed")
    for title in titles if width < _NARROW else (*titles, "cost"):
        table.add_column(title, justify="right", no_wrap=True)
    for cell in cells:
        failed = Text(f"{cell['failed']:,}", style="red" if cell["failed"] else "")
        row: list[RenderableType] = [
            Text(printable(cell["cell_id"] or "calls of no cell")),
            f"{max(0, now_ms - cell['first_ms']) / 1000:,.0f} s",
            f"{cell['calls']:,}",
            f"{cell['in_flight']:,}",
            _tokens(cell),
            failed,
        ]
        cost = _cost(cell["cost_usd"], cell["cost_is_least"])
        table.add_row(*(row if width < _NARROW else [*row, cost]))
    return table


def _tokens(cell: Mapping[str, Any]) -> str:
    mark: str = cell["tokens_mark"]
    return f"{_MARKS[mark]}{cell['tokens']:,}" if mark in _MARKS else mark


def _cost(usd: str | None, is_least: bool) -> str:
    if usd is None:
        return "not recorded"
    return f"{_MARKS['at least'] if is_least else ''}{dollars(usd)}"
