"""The line of sums below the table of calls, and the heading above it."""

from typing import NamedTuple

from cab.adapters.report.cell.calls import known_sum
from cab.adapters.report.cell.facts import ReportCell
from cab.adapters.report.cell.tokens import total_cost
from cab.adapters.report.render.marks import Mark, MarkedText, weakest
from cab.adapters.report.render.numbers import duration, integer
from cab.scoring.printable import counted


class CallsTotal(NamedTuple):
    """The sums of the calls."""

    heading: str
    """How many calls in how many attempts."""
    sums: dict[str, MarkedText]
    """Title of the column -> its sum."""


def calls_total(cell: ReportCell) -> CallsTotal:
    """Return the sums over a cell's calls; one of which a part is unknown is "at least"."""
    tokens, latency = cell.axes.tokens, cell.axes.latency
    known_ms = latency.known_model_call_ms if latency else None
    exact = latency is not None and latency.model_call_ms is not None
    sums = {
        "prompt": _sum(cell, tokens.prompt_tokens, tokens.known_prompt_tokens),
        "completion": _sum(cell, tokens.completion_tokens, tokens.known_completion_tokens),
        "cached": _part(cell, "cache_read_tokens", tokens.cache_read_tokens),
        "reasoning": _part(cell, "reasoning_tokens", tokens.reasoning_tokens),
        "latency": MarkedText(duration(known_ms), "measured" if exact else "at least"),
        "cost": total_cost(cell),
    }
    return CallsTotal(_heading(cell), sums)


def _heading(cell: ReportCell) -> str:
    tokens = cell.axes.tokens
    if tokens.attempts is None or tokens.model_calls is None:
        return "not recorded"
    if len(cell.calls) == tokens.model_calls:
        return f"{tokens.model_calls:,}"
    return f"{tokens.model_calls:,} in {counted(len(cell.calls), 'attempt')}"


def _sum(cell: ReportCell, total: int | None, known: int | None) -> MarkedText:
    if total is not None:
        return MarkedText(integer(total), cell.token_mark)
    return MarkedText(integer(known) if known else None, "at least", missing="–")


def _part(cell: ReportCell, name: str, total: int | None) -> MarkedText:
    """Return the sum of a part; the endpoint has to report it, nobody can count it."""
    if total is not None:
        return MarkedText(integer(total), weakest(_marks(cell)))
    values = [getattr(call.end, name, None) for call in cell.calls]
    known = known_sum(value for value in values if value is not None)
    return MarkedText(integer(known), "at least", missing="–")


def _marks(cell: ReportCell) -> list[Mark]:
    return [call.mark for call in cell.calls if call.mark != "not recorded"]
