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
    tokens, usd, unpriced = (
        totals.interval.unknown_calls,
        totals.unknown_prices,
        totals.cost.unpriced,
    )
    if on_unknown == "ignore" or not (tokens or unpriced):
        return Spent(totals.tokens.total.known, totals.cost.known)
    words = _calls(tokens, "uncounted", on_unknown) if tokens else ""
    spent = Spent(totals.charged_tokens, totals.charged_usd, words, words if usd else "")
    if tokens and on_unknown == "exhaust":
        spent = Spent(_ALL, _ALL if usd else totals.cost.known, words, words)
    if unpriced:
        # What they cost is not known, however small: an amount that is left is not known either.
        return spent._replace(usd=_ALL, unknown_usd=_calls(unpriced, "unpriced", on_unknown))
    return spent


def _calls(number: int, which: str, on_unknown: OnUnknown) -> str:
    return f", with {number} {which} call{'s' * (number > 1)} (on_unknown = {on_unknown})"
