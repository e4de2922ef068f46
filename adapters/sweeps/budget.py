"""What a sweep has spent, and whether it may spend more."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from cab.adapters.sweeps.sweepfile import Budget, CellAllowance
from cab.proxy.accounting.limits import KeyLimits
from cab.scoring.ledger.call_stats import read_price
from cab.scoring.ledger.call_sums import is_model_call, may_have_cost, total_of
from cab.scoring.ledger.reading import iter_records
from cab.scoring.ledger.records import AnyRecord, CallEnd, CallStart

_Amount = TypeVar("_Amount", int, Decimal)


@dataclass(frozen=True, slots=True)
class Spend:
    """Sums over model calls. What was not measured is counted, never taken for 0."""

    calls: int = 0
    """Calls on the wire, an SDK's repetitions included."""
    tokens: int = 0
    """Of the calls that have a count."""
    uncounted: int = 0
    """Calls that may have cost tokens and have no count."""
    usd: Decimal = Decimal(0)
    """Of the calls whose price is known."""
    unpriced: int = 0
    """Calls that may have cost money and have no price."""

    def __add__(self, other: "Spend") -> "Spend":
        return Spend(
            self.calls + other.calls,
            self.tokens + other.tokens,
            self.uncounted + other.uncounted,
            self.usd + other.usd,
            self.unpriced + other.unpriced,
        )

    def as_dict(self) -> dict[str, int | str | None]:
        """Return the sums as JSON; a sum of which a part is missing is null, its known part beside it."""
        return {
            "calls": self.calls,
            "tokens": None if self.uncounted else self.tokens,
            "known_tokens": self.tokens,
            "calls_without_count": self.uncounted,
            "cost_usd": None if self.unpriced else f"{self.usd:f}",
            "known_cost_usd": f"{self.usd:f}",
            "calls_without_price": self.unpriced,
        }


def spend_by_cell(ledger: Path) -> dict[str, Spend]:
    """Return what each cell of a ledger has spent: one streaming pass.

    Args:
        ledger: Its folder, or a cell's slice of it; nothing was spent if it is not there.

    Raises:
        BadRecord: A record cannot be read.
    """
    return sum_by_cell(iter_records(ledger)) if ledger.exists() else {}


def sum_by_cell(records: Iterable[AnyRecord]) -> dict[str, Spend]:
    """Return the sums of each cell; calls without a cell are left out."""
    sums: dict[str, Spend] = {}
    unfinished: dict[str, CallStart] = {}
    for record in records:
        if isinstance(record, CallStart):
            unfinished[record.call_id] = record
        elif isinstance(record, CallEnd):
            unfinished.pop(record.call_id, None)
            if record.cell_id is not None and is_model_call(record):
                sums[record.cell_id] = sums.get(record.cell_id, Spend()) + _of_one(record)
    for start in unfinished.values():
        if start.cell_id is not None and is_model_call(start):
            sums[start.cell_id] = sums.get(start.cell_id, Spend()) + Spend(1, 0, 1, Decimal(0), 1)
    return sums


def _of_one(end: CallEnd) -> Spend:
    total, price, may_cost = total_of(end), read_price(end), may_have_cost(end)
    return Spend(
        calls=1,
        tokens=total or 0,
        uncounted=int(total is None and may_cost),
        usd=price or Decimal(0),
        unpriced=int(price is None and may_cost),
    )


def spent(budget: Budget, spend: Spend, wall_s: float) -> str | None:
    """Return which part of a budget is used up; None while there is some of each."""
    if budget.tokens is not None and spend.tokens >= budget.tokens:
        return f"{spend.tokens:,} of {budget.tokens:,} tokens are spent"
    if budget.calls is not None and spend.calls >= budget.calls:
        return f"{spend.calls:,} of {budget.calls:,} calls are made"
    if budget.usd is not None and spend.usd >= budget.usd:
        return f"${spend.usd:f} of ${budget.usd:f} are spent"
    if budget.wall_s is not None and wall_s >= budget.wall_s:
        return f"{wall_s:,.0f} of {budget.wall_s:,.0f} s are over"
    return None


def limits_of(allowance: CellAllowance, budget: Budget, spend: Spend) -> KeyLimits:
    """Return the limits of a cell's key: its own, or what is left of the budget if that is less.

    The budget must not be spent. What cells side by side have left is not divided among them.
    """
    left = KeyLimits(
        None if budget.calls is None else budget.calls - spend.calls,
        None if budget.tokens is None else budget.tokens - spend.tokens,
        None if budget.usd is None else budget.usd - spend.usd,
    )
    return KeyLimits(
        _least(allowance.calls, left.max_calls),
        _least(allowance.tokens, left.max_tokens),
        _least(allowance.usd, left.max_cost_usd),
    )


def has_reached(limits: KeyLimits, spend: Spend) -> bool:
    """Tell whether a cell has used up one of its limits."""
    return (
        (limits.max_calls is not None and spend.calls >= limits.max_calls)
        or (limits.max_tokens is not None and spend.tokens >= limits.max_tokens)
        or (limits.max_cost_usd is not None and spend.usd >= limits.max_cost_usd)
    )


def own_limits(allowance: CellAllowance) -> KeyLimits:
    """Return an allowance as the limits of a key."""
    return KeyLimits(allowance.calls, allowance.tokens, allowance.usd)


def _least(one: _Amount | None, other: _Amount | None) -> _Amount | None:
    known = [amount for amount in (one, other) if amount is not None]
    return min(known) if known else None
