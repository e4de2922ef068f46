"""The price of a call as the endpoint names it."""

from decimal import Decimal, InvalidOperation

from cab.proxy.meter.json_values import JsonObject, as_object, is_object
from cab.scoring.ledger.money import EXACT

_TICK_USD = Decimal("1e-10")
"""https://docs.x.ai/developers/cost-tracking"""


def cost_usd(raw: JsonObject) -> str | None:
    """Return the price in US dollars that a usage object names, as decimal text.

    OpenRouter gives a number as `cost`, Perplexity an object with a `total_cost`, xAI
    `cost_in_usd_ticks`. With a key of the user's own at the model's vendor (`is_byok`), OpenRouter's
    `cost` is only its fee, and `cost_details.upstream_inference_cost` is what the vendor charges. Without such a
    key the latter may be there too and equal the cost, so it is not added then.
    https://openrouter.ai/docs/use-cases/usage-accounting
    """
    cost = raw.get("cost")
    if is_object(cost):
        cost = cost.get("total_cost")
    price = _amount(cost)
    if cost is None and raw.get("cost_in_usd_ticks") is not None:
        ticks = _amount(raw["cost_in_usd_ticks"])
        price = None if ticks is None else EXACT.multiply(ticks, _TICK_USD).normalize(EXACT)
    if raw.get("is_byok") is True:
        vendor = _amount(as_object(raw.get("cost_details")).get("upstream_inference_cost"))
        price = None if price is None or vendor is None else EXACT.add(price, vendor)
    if price is None:
        return None
    # Beyond these magnitudes it is not a price, and its decimal text could be megabytes long.
    known = price >= 0 and -20 <= price.adjusted() <= 9
    return format(price, "f") if known and len(price.as_tuple().digits) <= 40 else None


def _amount(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = Decimal(repr(value) if isinstance(value, float) else value)
    except InvalidOperation:
        return None
    small = amount.is_finite() and -40 <= amount.adjusted() <= 30
    return amount if small and len(amount.as_tuple().digits) <= 60 else None
