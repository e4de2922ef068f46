"""What a sweep has spent, and whether it may spend more."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from cab.adapters.sweeps.sweepfile import Budget, CellAllowance
from cab.proxy.accounting.limits import KeyLimits
from cab.scoring.errors import BadRecord
from cab.scoring.ledger.filters import make_filter
from cab.scoring.ledger.money import EXACT, dollars
from cab.scoring.ledger.reading import find_records
from cab.scoring.ledger.records import AnyRecord
from cab.scoring.ledger.totals import CallTotals, Fields, total_cells
from cab.scoring.printable import counted

_Amount = TypeVar("_Amount", int, Decimal)


def spend_by_cell(
    ledger: Path, cell: str | None = None, first: Mapping[int, int] | None = None
) -> dict[str, CallTotals]:
    """Return what each cell of a ledger has spent: one streaming pass.

    A damaged line is passed over: what its call cost is not known, and so is the sum of its cell.

    Args:
        ledger: Its folder, or a cell's slice of it; nothing was spent if it is not there.
        cell: Only the cell with this id.
        first: Worker -> number of the first segment that can have calls of it; all are read if it is not given.

    Raises:
        BadRecord: The ledger cannot be read.
    """
    if not ledger.exists():
        return {}
    found = find_records(ledger, make_filter(cell), _pass_over, first=first)
    return sum_by_cell(each.fields for each in found)


def sum_by_cell(records: Iterable[AnyRecord | Fields]) -> dict[str, CallTotals]:
    """Return the totals of each cell; calls without a cell are left out."""
    cells = total_cells(records).items()
    return {cell_id: totals for cell_id, totals in cells if cell_id is not None}


def _pass_over(_: BadRecord) -> None:
    """Take a damaged line as what it is; `cab ledger verify` names it."""


def spend_members(spend: CallTotals, lost_cells: int = 0) -> dict[str, Any]:
    """Return totals as JSON; a sum of which a part is missing is null, its known part beside it.

    Args:
        spend: The totals.
        lost_cells: Cells whose calls are lost, so that no sum is known.
    """
    tokens, cost = spend.tokens.total, spend.cost
    members = {
        "calls": spend.calls,
        "known_calls": spend.calls,
        "lost_cells": lost_cells,
        "tokens": tokens.value,
        "known_tokens": tokens.known,
        "total_interval": spend.interval.model_dump(),
        "calls_without_count": spend.unmeasured_calls,
        "cost_usd": None if cost.value is None else f"{cost.value:f}",
        "known_cost_usd": f"{cost.known:f}",
        "calls_without_price": cost.missing,
        "price_sources": list(cost.price_sources),
    }
    if lost_cells:
        members |= {"calls": None, "tokens": None, "cost_usd": None, "total_interval": None}
    return members


def spent(budget: Budget, spend: CallTotals, wall_s: float) -> str | None:
    """Return which part of a budget is used up; None while there is some of each.

    A call that nobody counted is charged what it can have cost at most, here and below.
    """
    tokens, usd = spend.charged_tokens, spend.charged_usd
    if budget.tokens is not None and tokens >= budget.tokens:
        return f"{tokens:,} of {budget.tokens:,} tokens are spent"
    if budget.calls is not None and spend.calls >= budget.calls:
        return f"{spend.calls:,} of {budget.calls:,} calls are made"
    if budget.usd is not None and spend.cost.unpriced:
        return f"{dollars(budget.usd)} cannot be kept: {_without_price(spend.cost.unpriced)}"
    if budget.usd is not None and usd >= budget.usd:
        return f"{dollars(usd)} of {dollars(budget.usd)} are spent"
    if budget.wall_s is not None and wall_s >= budget.wall_s:
        return f"{wall_s:,.0f} of {budget.wall_s:,.0f} s are over"
    return None


def limits_of(allowance: CellAllowance, budget: Budget, spend: CallTotals) -> KeyLimits:
    """Return the limits of a cell's key: its own, or what is left of the budget if that is less.

    The budget must not be spent. What cells side by side have left is not divided among them.
    """
    left = KeyLimits(
        None if budget.calls is None else budget.calls - spend.calls,
        None if budget.tokens is None else budget.tokens - spend.charged_tokens,
        None if budget.usd is None else EXACT.subtract(budget.usd, spend.charged_usd),
    )
    return KeyLimits(
        _least(allowance.calls, left.max_calls),
        _least(allowance.tokens, left.max_tokens),
        _least(allowance.usd, left.max_cost_usd),
    )


def has_reached(limits: KeyLimits, spend: CallTotals) -> bool:
    """Return whether a cell has used up one of its limits."""
    tokens, usd = spend.charged_tokens, spend.charged_usd
    return (
        (limits.max_calls is not None and spend.calls >= limits.max_calls)
        or (limits.max_tokens is not None and tokens >= limits.max_tokens)
        or (
            limits.max_cost_usd is not None
            and (usd >= limits.max_cost_usd or spend.cost.unpriced > 0)
        )
    )


def _without_price(calls: int) -> str:
    named = counted(calls, "counted call has", "counted calls have")
    return f"{named} no price; name a table that lists the models in prices_file"


def own_limits(allowance: CellAllowance) -> KeyLimits:
    """Return an allowance as the limits of a key."""
    return KeyLimits(allowance.calls, allowance.tokens, allowance.usd)


def _least(one: _Amount | None, other: _Amount | None) -> _Amount | None:
    known = [amount for amount in (one, other) if amount is not None]
    return min(known) if known else None
