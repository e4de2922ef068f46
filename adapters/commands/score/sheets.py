"""`cab score --markdown` and `--csv`: a line per cell."""

from collections.abc import Iterable
from typing import Any

from cab.adapters.commands.score.reprice import columns
from cab.adapters.ui.cell_table import has_zeros_for_gaps, summary_of
from cab.adapters.ui.format import UNKNOWN_USD
from cab.adapters.ui.tables import ResultTable, TableFormat, write
from cab.scoring import ScoredCell
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
    form: TableFormat, cells: Iterable[tuple[ScoredCell, str]], repricing: Repricing | None = None
) -> None:
    """Print cells, each with how its stored score compares, and what it would have cost."""
    more = ("repriced $",) if repricing else ()
    sheet = ResultTable(
        ("cell", "pass", "tokens", "calls", "wall", "blast", "composite", "stored", *more), []
    )
    rows: list[list[str]] = []
    objects: list[dict[str, Any]] = []
    for scored, verdict in cells:
        summary = summary_of(scored.cell_id, scored.axes, [scored.composite], verdict)
        *parts, composites, stored = summary
        cost = columns(scored, repricing)
        usd = [str(cost["repriced_usd"] or UNKNOWN_USD)] if cost else []
        rows.append([*map(str, parts), *composites, str(stored), *usd])
        objects.append({**_as_row(scored, verdict), **cost})
    write(form, sheet._replace(rows=rows), objects)


def _as_row(scored: ScoredCell, verdict: str) -> dict[str, Any]:
    result: dict[str, Any] = scored.as_dict()
    axes: dict[str, Any] = {}
    for name, (axis, key) in _AXES.items():
        of_axis: dict[str, Any] = result.get(axis) or {}
        axes[name] = of_axis.get(key)
    if has_zeros_for_gaps(scored.axes.tokens):
        axes.update(dict.fromkeys(_OF_CALLS))
    head = {name: result[name] for name in ("cell_id", "profile", "composite")}
    return {**head, **axes, "path": result["path"], "stored": verdict}
