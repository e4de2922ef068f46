"""`cab score --markdown` and `--csv`: a line per cell."""

from collections.abc import Callable, Iterable
from typing import Any

from cab.adapters.commands.score.reprice import columns
from cab.adapters.ui.cell_table import Summary, has_zeros_for_gaps, summary_of, summary_table
from cab.adapters.ui.format import UNKNOWN_USD
from cab.adapters.ui.layout import Column
from cab.adapters.ui.tables import ResultTable, TableFormat, write
from cab.scoring import ScoredCell
from cab.scoring.ledger.money import amount
from cab.scoring.prices.reprice import Repricing

_AXES = {
    "pass": ("pass_rate", "pass"),
    "prompt_tokens": ("tokens", "prompt_tokens"),
    "completion_tokens": ("tokens", "completion_tokens"),
    "total_tokens": ("tokens", "total_tokens"),
    "model_calls": ("tokens", "model_calls"),
    "cost_usd": ("cost", "cost_usd"),
    "wall_clock_ms": ("latency", "wall_clock_ms"),
    "model_call_ms": ("latency", "model_call_ms"),
    "blast_radius": ("blast_radius", "blast_radius"),
    "refusal_correct": ("refusal", "refusal_correct"),
    "integrity": ("integrity", "integrity"),
}
"""Column -> its axis and key in a result."""

_OF_CALLS = ("prompt_tokens", "completion_tokens", "total_tokens", "model_calls", "model_call_ms")


def write_cells(
    form: TableFormat,
    cells: Iterable[tuple[ScoredCell, str]],
    repricing: Repricing | None = None,
    said: Callable[[str], str] = str,
) -> None:
    """Print cells, each with how its stored score compares, and what it would have cost.

    Args:
        form: How.
        cells: The cells, each with how its stored score compares.
        repricing: Says what they would have cost; None: nobody asks.
        said: Puts what people know in the place of a temporary folder.
    """
    lines: list[Summary] = []
    objects: list[dict[str, Any]] = []
    costs: list[dict[str, Any]] = []
    for scored, verdict in cells:
        lines.append(summary_of(scored.cell_id, scored.axes, [scored.composite], verdict))
        costs.append(columns(scored, repricing))
        objects.append({**_as_row(scored, verdict, said), **costs[-1]})
    sheet = summary_table(["composite"], lines)
    write(form, sheet if repricing is None else _with_costs(sheet, costs), objects)


def _with_costs(sheet: ResultTable, costs: Iterable[dict[str, Any]]) -> ResultTable:
    texts = (amount(cost["repriced_usd"]) or UNKNOWN_USD for cost in costs)
    rows = [(*row, text) for row, text in zip(sheet.rows, texts, strict=True)]
    return ResultTable((*sheet.columns, Column("repriced", unit="$")), rows)


def _as_row(scored: ScoredCell, verdict: str, said: Callable[[str], str]) -> dict[str, Any]:
    result: dict[str, Any] = scored.as_dict()
    axes: dict[str, Any] = {}
    for name, (axis, key) in _AXES.items():
        of_axis: dict[str, Any] = result.get(axis) or {}
        axes[name] = of_axis.get(key)
    if has_zeros_for_gaps(scored.axes.tokens):
        axes.update(dict.fromkeys(_OF_CALLS))
    cost: dict[str, Any] = result.get("cost") or {}
    axes["price_sources"] = ", ".join(cost.get("price_sources") or [])
    head = {name: result[name] for name in ("cell_id", "profile", "composite")}
    return {**head, **axes, "path": said(result["path"]), "stored": verdict}
