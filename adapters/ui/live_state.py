"""A state of a proxy as a person reads it in a terminal: the last minute above, running cells below."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cab.adapters.ui.format import by_kind, clock_text
from cab.scoring.ledger.money import dollars
from cab.scoring.prices.sources import sources_words
from cab.scoring.printable import counted, printable

AT_LEAST = "\N{GREATER-THAN OR EQUAL TO}"
_MARKS = {"measured": "", "estimated": "\N{ALMOST EQUAL TO}", "at least": AT_LEAST}
_UNITS = {"calls": " calls", "tokens": " tokens", "cost_usd": ""}
_BLOCKS = " ▁▂▃▄▅▆▇█"
_TABLE_LINES = 6
"""Of the table and below it, beside the cells; one of them because texts wrap at words."""
_WIDE = 130
"""From this width on all limits are shown, not only the one of which most is spent."""
_NAME_CHARS = 32
"""Columns are left out rather than that less of a name is seen; of half the width, if that is less."""
_GAP = 3
"""Characters between two columns, and at both ends of a line."""
_FIRST_LEFT_OUT = ("open", "of its limits", "cost", "failed", "age", "tokens", "calls")


def screen(state: Mapping[str, Any], width: int, height: int | None) -> RenderableType:
    """Return a state to print.

    Args:
        state: As the control API sends it: docs/live.md.
        width: Of the terminal, in characters.
        height: Of the terminal, in lines; None prints all cells.
    """
    cells: list[Mapping[str, Any]] = state["cells"]
    minute = _minute(state, width)
    taken = sum(-(-cell_len(text.plain) // width) for text in minute) + _TABLE_LINES
    shown = cells if height is None else cells[: max(1, height - taken)]
    more, now_ms = state["running_cells"] - len(shown), state["at_ms"]
    rows = [
        RunningCell(
            cell["cell_id"] or "calls of no cell",
            max(0, now_ms - cell["first_ms"]) / 1000,
            cell,
            now_ms,
        )
        for cell in shown
    ]
    parts: list[RenderableType] = [*minute, cell_table(rows, width)]
    if more > 0:
        parts.append(Text(f"{more} more cells are not shown", style="dim"))
    return Group(*parts)


def _minute(state: Mapping[str, Any], width: int) -> list[Text]:
    minute = state["minute"]
    now = f"{counted(state['running_cells'], 'cell')} running, {counted(state['calls_in_flight'], 'call')} in flight"
    mark = "at least" if minute["uncounted_calls"] else "measured"
    mark = "estimated" if mark == "measured" and minute["estimated_tokens"] else mark
    p50, p95 = minute["ttft_ms_p50"], minute["ttft_ms_p95"]
    first = "not recorded" if p50 is None else f"{p50:,.0f} ms (p95 {p95:,.0f} ms)"
    figures = (
        f"last minute: {counted(minute['calls'], 'call')}, {counted(minute['failed'], 'failed attempt')}, "
        f"{_MARKS[mark]}{minute['tokens']:,} tokens, "
        f"cost {_cost_of_all(minute)}, "
        f"time to first token {first}"
    )
    return [Text(now, style="bold"), Text(figures), Text(_sparkline(minute, width), style="blue")]


def _sparkline(minute: Mapping[str, Any], width: int) -> str:
    """Return the last seconds that a line has room for; the peak is that of the whole minute."""
    values: list[int] = minute["tokens_by_second"]
    most = max(values, default=0)
    text = f"  peak {most:,}/s"
    room = min(len(values), max(0, width - len(text)))
    shown = values[len(values) - room :]
    return "".join(_BLOCKS[-(-8 * value // most)] if most else " " for value in shown) + text


class RunningCell(NamedTuple):
    """A running cell in a table."""

    name: str
    age_s: float
    cell: Mapping[str, Any] | None
    """Of a state; None: the proxy knows nothing of it."""
    now_ms: int
    """Of that state."""


def one_line(text: Text) -> Text:
    """Return a text that is cut off where the terminal ends."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def cell_table(rows: Sequence[RunningCell], width: int) -> Table:
    """Return running cells as a table, a line each, with as many columns as there is room for.

    Args:
        rows: The cells.
        width: Of the terminal, in characters.
    """
    columns = _columns(rows, short=width < _WIDE)
    names = [printable(row.name) for row in rows]
    wanted = min(_NAME_CHARS, width // 2, max(map(cell_len, names), default=0))
    for title in _FIRST_LEFT_OUT:
        if _name_room(columns, width) >= wanted:
            break
        columns.pop(title, None)
    room = max(1, _name_room(columns, width))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("cell", no_wrap=True, overflow="crop")
    for title in columns:
        table.add_column(title, justify="right", no_wrap=True, overflow="crop")
    for number, (row, name) in enumerate(zip(rows, names, strict=True)):
        bad = row.cell is not None and row.cell["failed"] > 0
        shown = [
            Text(texts[number], style="red" if bad and title == "failed" else "")
            for title, texts in columns.items()
        ]
        table.add_row(Text(_end_of(name, room)), *shown)
    return table


def _columns(rows: Sequence[RunningCell], *, short: bool) -> dict[str, list[str]]:
    """Return the texts of all columns but the name, by title."""
    columns = {
        "age": [clock_text(row.age_s) for row in rows],
        "calls": [_count(row, "calls") for row in rows],
        "open": [_count(row, "in_flight") for row in rows],
        "tokens": ["?" if row.cell is None else _tokens(row.cell) for row in rows],
        "failed": [_count(row, "failed") for row in rows],
        "cost": [_cost_of(row.cell) for row in rows],
    }
    if any(row.cell is None or row.cell["budget"] != {} for row in rows):
        columns["of its limits"] = [limits_text(row, short=short) for row in rows]
    return columns


def _name_room(columns: Mapping[str, Sequence[str]], width: int) -> int:
    """Return how many characters of a line are left for the name."""
    taken = (max(map(cell_len, (title, *texts))) + _GAP for title, texts in columns.items())
    return width - sum(taken) - _GAP


def _end_of(name: str, room: int) -> str:
    """Return a name that fits; its end says more than its beginning, which cells have in common."""
    if cell_len(name) <= room:
        return name
    return f"…{set_cell_size(name[::-1], room - 1)[::-1].lstrip()}"


def limits_text(row: RunningCell, *, short: bool) -> str:
    """Return what a cell has spent of the limits of its key; empty where it has none.

    Args:
        row: The cell.
        short: Only that of which most is spent.
    """
    budget = None if row.cell is None else row.cell["budget"]
    if budget is None:
        return "not known"
    parts = [_limit(name, budget[name]) for name in _UNITS if name in budget]
    if "expires_ms" in budget and row.cell is not None:
        limit_s = max(0.001, (budget["expires_ms"] - row.cell["first_ms"]) / 1000)
        age_s = max(0.0, (row.now_ms - row.cell["first_ms"]) / 1000)
        parts.append((age_s / limit_s, f"{clock_text(age_s)} of {clock_text(limit_s)}", "time"))
    if not short:
        return ", ".join(text for _, text, _ in parts)
    known = [(share, name) for share, _, name in parts if share is not None]
    share, name = max(known, default=(None, ""))
    return "" if share is None else f"{share:.0%} {name}"


def _limit(name: str, part: Mapping[str, Any]) -> tuple[float | None, str, str]:
    """Return the share that is spent, None where that is not known, a text of it, and the limit's name."""
    spent, most = part["spent"], part["limit"]
    if name == "cost_usd":
        shown, limit = dollars(spent), dollars(most)
        spent, most = None if spent is None else float(spent), float(most)
    else:
        shown, limit = None if spent is None else f"{spent:,}", f"{most:,}"
    share = None if spent is None else spent / most
    text = f"{'?' if shown is None else shown} of {limit}{_UNITS[name]}"
    return share, text, "cost" if name == "cost_usd" else name


def _count(row: RunningCell, name: str) -> str:
    return "?" if row.cell is None else f"{row.cell[name]:,}"


def _cost_of(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return "?"
    if cell["cost_usd"] is None and not cell["calls"]:
        return "none yet"
    return _cost(cell, cell["cost_is_least"], by_kind(cell["price_kind"]))


def _tokens(cell: Mapping[str, Any]) -> str:
    mark: str = cell["tokens_mark"]
    return f"{_MARKS[mark]}{cell['tokens']:,}" if mark in _MARKS else mark


def _cost_of_all(minute: Mapping[str, Any]) -> str:
    by = f" by {sources_words(minute['price_sources'])}" if minute["price_sources"] else ""
    return _cost(minute, bool(minute["unpriced_calls"]), by)


def _cost(part: Mapping[str, Any], is_least: bool, by: str) -> str:
    """Return a cost as pages mark it, and by whose prices it is: only the endpoint's are measured."""
    if part["cost_usd"] is None:
        return "not recorded"
    kind = part["price_kind"]
    mark = "at least" if is_least else "measured" if kind in (None, "endpoint") else "estimated"
    return f"{_MARKS[mark]}{dollars(part['cost_usd'])}{by}"
