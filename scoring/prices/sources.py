"""Who says what a call cost: how far a price, and a sum of prices, can be trusted."""

from collections.abc import Iterable
from typing import Literal

PriceKind = Literal["endpoint", "table", "genai-prices", "unknown"]
"""From the strongest to the weakest: the endpoint that sends the bill; the operator's table; a public list
of prices; nobody."""

UPSTREAM = "upstream"
"""Source of a price that the endpoint states."""
TABLE = "table:"
"""What the source of a price of the operator's table begins with."""
LIBRARY = "genai-prices@"
"""What the source of a price of that list begins with; its version follows."""
_ORDER: tuple[PriceKind, ...] = ("endpoint", "table", "genai-prices", "unknown")


def price_kind(source: str | None) -> PriceKind:
    """Return of what kind the source of a price is, as `price_source` names it."""
    if source == UPSTREAM:
        return "endpoint"
    if source is not None and source.startswith(TABLE):
        return "table"
    return "genai-prices" if source is not None and source.startswith(LIBRARY) else "unknown"


def source_words(source: str) -> str:
    """Return for people where a price is from."""
    kind = price_kind(source)
    if kind == "endpoint":
        return "the endpoint"
    if kind == "table":
        return f"the operator's table {source.removeprefix(TABLE)}"
    return f"genai-prices {source.removeprefix(LIBRARY)}" if kind == "genai-prices" else source


def sources_words(sources: Iterable[str]) -> str:
    """Return the same of several, from the strongest to the weakest."""
    ordered = sorted(sources, key=lambda source: (_ORDER.index(price_kind(source)), source))
    return ", ".join(map(source_words, ordered))


def weakest_kind(sources: Iterable[str | None], unpriced: int = 0) -> PriceKind | None:
    """Return the kind that a sum of prices has: that of its weakest part; None without any part.

    Args:
        sources: Where its prices are from.
        unpriced: Calls that may have cost something and have no price.
    """
    return "unknown" if unpriced else weakest_of(map(price_kind, sources))


def weakest_of(kinds: Iterable[PriceKind]) -> PriceKind | None:
    """Return the weakest of some kinds; None if there is none."""
    return max(kinds, key=_ORDER.index, default=None)
