"""What of a cell's limits its calls have used up, those included that nobody counted."""

from decimal import Decimal
from typing import NamedTuple

from cab.proxy.accounting.limits import OnUnknown
from cab.proxy.accounting.windows import Sums, sums_of
from cab.scoring.ledger.money import EXACT
from cab.scoring.ledger.totals import CallTotals

_ALL = Decimal("Infinity")


class Spent(NamedTuple):
    """What counts against the limits of a cell."""

    tokens: int | Decimal
    """Infinite where an unknown call uses up the limit."""
    usd: Decimal
    """The same in US dollars."""
    unknown_tokens: str = ""
    """Words for a refusal: how many calls are part of it without a count."""
    unknown_usd: str = ""
    """The same for the price."""


def spent_of(totals: CallTotals, on_unknown: OnUnknown) -> Spent:
    """Return what the calls of a cell count for.

    Args:
        totals: Of the calls that have ended. A call in flight is no unknown one: its usage may still
            come, be it while it is read on after its client has gone.
        on_unknown: What a call counts for that may have cost something and was not counted.
    """
    return charged(sums_of(totals, totals.calls), totals.cost.largest, on_unknown)


def charged(sums: Sums, dearest: Decimal, on_unknown: OnUnknown) -> Spent:
    """Return what calls count for.

    Args:
        sums: Of the calls.
        dearest: The largest price of a call of their cell, in US dollars.
        on_unknown: As for `spent_of`.
    """
    tokens, usd, unpriced = sums.uncounted, sums.unknown_prices, sums.unpriced
    if on_unknown == "ignore" or not (tokens or unpriced):
        return Spent(sums.tokens, sums.usd)
    words = _calls(tokens, "uncounted", on_unknown) if tokens else ""
    if tokens and on_unknown == "exhaust":
        spent = Spent(_ALL, _ALL if usd else sums.usd, words, words)
    else:
        spent_usd = EXACT.fma(dearest, usd, sums.usd)
        spent = Spent(sums.tokens + sums.uncounted_tokens, spent_usd, words, words if usd else "")
    if unpriced:
        # What they cost is not known, however small: an amount that is left is not known either.
        return spent._replace(usd=_ALL, unknown_usd=_calls(unpriced, "unpriced", on_unknown))
    return spent


def _calls(number: int, which: str, on_unknown: OnUnknown) -> str:
    return f", with {number} {which} call{'s' * (number > 1)} (on_unknown = {on_unknown})"
