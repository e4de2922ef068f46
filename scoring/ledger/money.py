"""Amounts of US dollars: which texts are one, and sums that are exact."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, DecimalException
from typing import Any, Self

MOST_USD = Decimal(10) ** 12
"""No call costs that much."""

_EXPONENTS = range(-60, 13)
"""Of the last digit of a price: far finer than prices are quoted, and short when written out."""

UNNAMED = "unnamed"
"""Source of a price that a record does not name."""

EXACT = Context(prec=100)
"""Sums of 10^15 such prices need no rounding."""


def dollars(value: str | float | Decimal | None) -> str | None:
    """Return US dollars with two digits that say something: `$1.25`, `$0.0091`, `$0`.

    None if the amount is unknown, or is not an amount.

    >>> dollars("1.25"), dollars(0.00914), dollars(0), dollars("free")
    ('$1.25', '$0.0091', '$0', None)
    """
    digits = amount(value)
    return None if digits is None else f"${digits}"


def amount(value: str | float | Decimal | None) -> str | None:
    """Return the digits of US dollars, as `dollars` writes them, without the sign."""
    found = None if value is None else money(str(value))
    if found is None:
        return None
    if not found:
        return "0"
    digits = 2 if found >= 1 else min(12, 1 - found.adjusted())
    return f"{found:,.{max(2, digits)}f}"


def source_of_price(call: Mapping[str, Any]) -> str:
    """Return where the price of a call is from, by the members of its END; `UNNAMED` if it does not say."""
    source = call.get("price_source")
    return source if isinstance(source, str) and source else UNNAMED


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


@dataclass(slots=True)
class MoneyTotal:
    """A sum in US dollars, exact, that knows whether a part of it is missing."""

    known: Decimal = Decimal(0)
    """Sum of the prices that are known."""
    priced: int = 0
    """Calls with a price."""
    missing: int = 0
    """Calls that may have cost something and have no price."""
    largest: Decimal = Decimal(0)
    """The largest price of a call."""
    unpriced: int = 0
    """Those of the missing ones whose tokens were counted: nobody knows the price of their model."""
    sources: tuple[str, ...] = ()
    """Where the prices are from, in order: see `price_source` of a call's record. Few: a table has one name."""

    @property
    def value(self) -> Decimal | None:
        """The sum, None while a price is missing."""
        return None if self.missing else self.known

    @property
    def price_sources(self) -> tuple[str, ...]:
        """Where the prices are from; `UNNAMED` for prices of which nobody says."""
        # Sums of versions that did not keep them have none.
        return self.sources or ((UNNAMED,) if self.priced else ())

    def add(self, price: Decimal | None, source: str = UNNAMED) -> None:
        """Add a price, None where it is not known, and where it is from."""
        if price is None:
            self.missing += 1
        else:
            self.known = EXACT.add(self.known, price)
            sources = self.price_sources
            if source not in sources:
                sources = tuple(sorted((*sources, source)))
            self.sources = sources
            self.priced += 1
            self.largest = max(self.largest, price)

    def __add__(self, other: Self) -> Self:
        return type(self)(
            EXACT.add(self.known, other.known),
            self.priced + other.priced,
            self.missing + other.missing,
            max(self.largest, other.largest),
            self.unpriced + other.unpriced,
            tuple(sorted({*self.price_sources, *other.price_sources})),
        )
