"""Records of a ledger as lines for a person. Unknown is `-`, it never shows as 0."""

from typing import Any

from cab.adapters.ui.layout import Column, Layout
from cab.scoring.printable import printable

CALL_COLUMNS = (
    Column("started", "name", rank=3, typical=19),
    Column("status", rank=2, typical=3),
    Column("end", "name", rank=4, typical=15),
    Column("prompt", unit="tokens", typical=7),
    Column("completion", unit="tokens", typical=7),
    Column("counted by", "name", rank=5, typical=10),
    Column("time", unit="s", rank=1, typical=6),
    Column("model", "path", rank=2, typical=24),
    Column("cell", "path", least=24, typical=80),
)
"""Columns of a call."""


def call_cells(fields: dict[str, Any]) -> tuple[str, ...]:
    """Return an END as texts, one per column; its members need not be what they must."""
    latency_ms = fields.get("latency_ms")
    seconds = f"{latency_ms / 1000:.1f}" if isinstance(latency_ms, int | float) else "-"
    return (
        _text(fields.get("started_at"))[:19],
        _text(fields.get("status")),
        _text(fields.get("end_reason")),
        _number(fields.get("prompt_tokens")),
        _number(fields.get("completion_tokens")),
        _text(fields.get("usage_source")),
        seconds,
        _text(fields.get("model_served") or fields.get("model_requested")),
        _text(fields.get("cell_id")),
    )


def record_line(fields: dict[str, Any], calls: Layout) -> str:
    """Return any record as a line; calls as their table has it."""
    if fields.get("kind") == "end":
        return calls.line(call_cells(fields))
    instants = ("started_at", "opened_at", "sealed_at", "at")
    at = next((fields[name] for name in instants if fields.get(name)), None)
    parts = [_text(at)[:19], _text(fields.get("kind")), _text(fields.get("cell_id"))]
    return "  ".join(part for part in parts if part != "-")


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else _text(value)


def _text(value: object) -> str:
    if value is None:
        return "-"
    return printable(str(value))
