"""What a sweep has spent, as tests state it."""

from decimal import Decimal

from cab.scoring.ledger.money import MoneyTotal
from cab.scoring.ledger.totals import CallTotals, TokenTotals, Total


def spend(
    calls: int = 0, tokens: int = 0, uncounted: int = 0, usd: str = "0", unpriced: int = 0
) -> CallTotals:
    """Return totals of calls with so many tokens in all."""
    counted = TokenTotals(total=Total(tokens, missing=uncounted))
    return CallTotals(calls, tokens=counted, cost=MoneyTotal(Decimal(usd), missing=unpriced))
