"""Axis `cost`: what the model calls cost in money. An unknown price is null, never $0.

Amounts are decimal text, as exact as the prices they are summed from.
"""

from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator

from cab.scoring.files import FileModel
from cab.scoring.ledger.call_sums import CallSums
from cab.scoring.ledger.money import money
from cab.scoring.ledger.records import Count
from cab.scoring.prices.sources import PriceKind, weakest_kind


def _check_amount(text: str) -> str:
    if money(text) is None:
        raise ValueError(f"{text!r} is not an amount of US dollars")
    return text


Usd = Annotated[str, AfterValidator(_check_amount)]
"""US dollars as decimal text."""


class Cost(FileModel):
    """All null if the cell was not metered."""

    cost_usd: Usd | None = None
    """What the calls cost; None unless the price of each that may have cost something is known."""
    known_cost_usd: Usd | None = None
    """Sum of the prices that are known."""
    cost_usd_per_correct_task: Usd | None = None
    """Cost of a passed cell; None if it did not pass or a price is not known."""
    priced_calls: Count | None = None
    """Ledger entries with a price."""
    unpriced_calls: Count | None = None
    """Ledger entries that may have cost something and have none."""
    price_sources: list[str] | None = None
    """Where the prices are from, see `price_source` of a call's record."""

    @property
    def price_kind(self) -> PriceKind | None:
        """How far the cost can be trusted: as its weakest price; `unknown` if one is missing, None without calls."""
        return weakest_kind(self.price_sources or (), self.unpriced_calls or 0)


def score_cost(calls: CallSums | None, passed: int | None) -> Cost:
    """Return the axis.

    Args:
        calls: Sums over the cell's ledger slice; all null if it was not metered.
        passed: The pass, None if it is not known.
    """
    if calls is None:
        return Cost()
    cost = calls.cost
    total = None if cost.value is None else _text(cost.value)
    return Cost(
        cost_usd=total,
        known_cost_usd=_text(cost.known),
        cost_usd_per_correct_task=total if passed else None,
        priced_calls=cost.priced,
        unpriced_calls=cost.missing,
        price_sources=list(cost.price_sources),
    )


def _text(amount: Decimal) -> str:
    return f"{amount:f}"
