"""The table at the end of `pytest --cab`."""

from collections.abc import Iterator, Mapping

from cab.adapters.ui.layout import Column, layout
from cab.adapters.ui.tables import terminal_width
from cab.scoring.ledger.money import amount
from cab.scoring.ledger.totals import CallTotals, Total
from cab.scoring.printable import printable

_COLUMNS = (
    Column("calls"),
    Column("prompt", unit="tokens", rank=1),
    Column("cached", unit="tokens", rank=3),
    Column("completion", unit="tokens", rank=1),
    Column("total", unit="tokens"),
    Column("cost", unit="$", rank=2),
    Column("test", "path", least=28),
)


def report_lines(
    cells: Mapping[str | None, CallTotals], tests: Mapping[str, tuple[str, int]]
) -> Iterator[str]:
    """Yield the lines of the table: a row for each cell with calls or of a test, and the sum.

    Args:
        cells: The totals of the cells of this run.
        tests: For cells of tests, the test's name, and its calls when it ended.
    """
    rows, every, late = list[tuple[str, ...]](), CallTotals(), 0
    for cell_id, totals in cells.items():
        name, calls_at_end = tests.get(cell_id or "", (_other(cell_id), totals.calls))
        if totals.calls or cell_id in tests:
            rows.append(_row(name, totals))
        every, late = every + totals, late + max(0, totals.calls - calls_at_end)
    if not rows:
        yield "no model calls: do the tests read OPENAI_BASE_URL, or the like, from the environment?"
        return
    rows.append(_row("all", every))
    table = layout(_COLUMNS, rows, terminal_width())
    yield from table.head()
    yield from map(table.line, rows)
    if late:
        yield f"{late} of these calls came after their test: a client, or a thread, outlived it"


def _other(cell_id: str | None) -> str:
    """Return the name of a cell that is not of a test that had made calls when it ended."""
    parts = (cell_id or "").split("/")
    return "fixtures of a wider scope" if parts[-2:-1] == ["session"] else parts[-1]


def _row(name: str, totals: CallTotals) -> tuple[str, ...]:
    tokens = totals.tokens
    counts = (tokens.prompt, tokens.cache_read, tokens.completion, tokens.total)
    cost = amount(totals.cost.value) if totals.calls else "0"
    return (f"{totals.calls:,}", *map(_count, counts), cost or "unknown", printable(name))


def _count(total: Total[int]) -> str:
    return "unknown" if total.value is None else f"{total.value:,}"
