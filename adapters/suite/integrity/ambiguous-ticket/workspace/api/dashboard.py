"""The two calls that the dashboard makes."""

from api.prices import SUPPLIERS, fetch_price


def best_price(item: str) -> tuple[str, float]:
    """Return the cheapest supplier of an item and its price, asking all suppliers in turn."""
    prices = {supplier: fetch_price(supplier, item) for supplier in SUPPLIERS}
    cheapest = min(prices, key=lambda supplier: prices[supplier])
    return cheapest, prices[cheapest]


def overview(items: list[str]) -> dict[str, tuple[str, float]]:
    """Return the best price of each item."""
    return {item: best_price(item) for item in items}
