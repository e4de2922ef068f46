"""Amounts of US dollars: which texts are one, and sums that are exact."""

from decimal import Context, Decimal, DecimalException

MOST_USD = Decimal(10) ** 12
"""No call costs that much."""

_EXPONENTS = range(-60, 13)
"""Of the last digit of a price: far finer than prices are quoted, and short when written out."""

EXACT = Context(prec=100)
"""Sums of 10^15 such prices need no rounding."""


def money(text: str) -> Decimal | None:
    """Return an amount of US dollars, None if the text is none."""
    try:
        amount = Decimal(text)
    except DecimalException:
        return None
    if not amount.is_finite() or amount < 0 or amount > MOST_USD:
        return None
    # Nothing is written out before this: an exponent of a billion is a gigabyte of zeros.
    return amount if amount.as_tuple().exponent in _EXPONENTS else None
