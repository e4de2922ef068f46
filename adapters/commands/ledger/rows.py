"""Records of a ledger as lines for a person. Unknown is `-`, it never shows as 0."""

from typing import Any

from cab.scoring.printable import printable

_TITLE = (
    "started",
    "status",
    "end",
    "prompt",
    "completion",
    "counted by",
    "seconds",
    "model",
    "cell",
)


def call_title() -> str:
    """Return the heading over lines of calls."""
    return _columns(*_TITLE)


def call_line(fields: dict[str, Any]) -> str:
    """Return an END as a line; its members need not be what they must."""
    latency_ms = fields.get("latency_ms")
    seconds = f"{latency_ms / 1000:.1f}" if isinstance(latency_ms, int | float) else "-"
    return _columns(
        _text(fields.get("started_at"))[:19],
        _text(fields.get("status")),
        _text(fields.get("end_reason")),
        _text(fields.get("prompt_tokens")),
        _text(fields.get("completion_tokens")),
        _text(fields.get("usage_source")),
        seconds,
        _text(fields.get("model_served") or fields.get("model_requested")),
        _text(fields.get("cell_id")),
    )


def record_line(fields: dict[str, Any]) -> str:
    """Return any record as a line."""
    if fields.get("kind") == "end":
        return call_line(fields)
    at = fields.get("started_at") or fields.get("sealed_at") or fields.get("at")
    parts = [_text(at)[:19], _text(fields.get("kind")), _text(fields.get("cell_id"))]
    return "  ".join(part for part in parts if part != "-")


def _columns(*parts: str) -> str:
    started, status, end, prompt, completion, source, seconds, model, cell = parts
    return (
        f"{started:<19}  {status:>6}  {end:<15} {prompt:>9} {completion:>10}  {source:<10} "
        f"{seconds:>8}  {model:<24}  {cell}"
    )


def _text(value: object) -> str:
    if value is None:
        return "-"
    text = str(value)
    return text if text.isprintable() else printable(text)
