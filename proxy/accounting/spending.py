"""What of a cell's limits its calls have used up, those included that nobody counted."""

from decimal import Decimal
from typing import NamedTuple

from cab.proxy.accounting.limits import OnUnknown
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
    tokens, usd = totals.interval.unknown_calls, totals.unknown_prices
    if on_unknown == "ignore" or not tokens:
        return Spent(totals.tokens.total.known, totals.cost.known)
    words = f", with {tokens} uncounted call{'s' * (tokens > 1)} (on_unknown = {on_unknown})"
    if on_unknown == "exhaust":
        return Spent(_ALL, _ALL if usd else totals.cost.known, words, words)
    return Spent(totals.charged_tokens, totals.charged_usd, words, words if usd else "")
