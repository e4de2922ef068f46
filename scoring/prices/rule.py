"""The one rule by which a call gets a price: that of the proxy, and of `cab score --reprice`."""

import re
from collections.abc import Hashable
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple, Protocol, cast

from cab.scoring.ledger.bounds import MAX_NAME_CHARS
from cab.scoring.ledger.money import EXACT, MOST_USD
from cab.scoring.ledger.totals import Fields
from cab.scoring.prices.billed_usage import passes_of
from cab.scoring.prices.rates import Schedule, charge

STANDARD_TIERS = frozenset(("default", "standard", "auto", "on_demand"))
"""Names that endpoints give to the tier that costs what the plain rates say."""
_DATED = re.compile(r"[-@:](latest|v?\d[\d.-]*)")


class CallFacts(NamedTuple):
    """What decides about the rates of a call, besides its model."""

    provider: str | None
    """Who sells the tokens, by a name of the list of prices; None if nobody says."""
    tier: str | None
    """Service tier that the endpoint names; None for the standard one."""
    is_fast: bool
    """Whether the endpoint says that the model wrote at a higher speed (`usage.speed`)."""
    started_at: str
    """RFC 3339 in UTC, as the record has it; rates change with time."""


class PriceList(Protocol):
    """Rates of models: the operator's table, or a public list."""

    source: str
    """What `price_source` names: the list and its version."""

    def knows(self, names: tuple[str, ...], provider: str | None) -> bool:
        """Return whether it has the model of one of these names, whatever it says of it."""
        ...

    def schedule(self, names: tuple[str, ...], facts: CallFacts) -> Schedule | None:
        """Return the rates of a model, the first of its names that is listed; None if there are none."""
        ...

    def changes_by_day(self, names: tuple[str, ...], provider: str | None) -> bool:
        """Return whether the rates of a model are the same for all calls that begin on one day, in UTC."""
        ...


@lru_cache(4096)
def names_of(served: Hashable, requested: Hashable) -> tuple[str, ...]:
    """Return the names under which a model is looked up, in their order.

    The model that answered decides. The one that was asked for is another name of it only if the endpoint
    names none, or the same with a date or a version behind it.
    """
    names = [name for name in (served, requested) if isinstance(name, str) and name]
    if len(names) == 2:
        first, second = names
        same = first == second
        dated = first.startswith(second) and _DATED.fullmatch(first[len(second) :]) is not None
        names = [first, second] if dated and not same else [first]
    return tuple(name for name in names if len(name) <= MAX_NAME_CHARS)


def price_of(call: Fields, prices: PriceList, provider: str | None = None) -> str | None:
    """Return what a call costs by a list of prices, as decimal text in US dollars.

    None if a pass of it was not counted whole, if the list does not know a model or the tier that
    answered, or if it lacks a rate that the call needs.

    Args:
        call: The members of an END record.
        prices: The list.
        provider: Who sells the tokens; None: as the record says.
    """
    passes = passes_of(call)
    if passes is None:
        return None
    facts = facts_of(call, provider)
    total, models = Decimal(0), set[tuple[str, ...]]()
    for model, used in passes:
        names = names_of(model or call.get("model_served"), call.get("model_requested"))
        schedule = prices.schedule(names, facts) if names else None
        part = None if schedule is None else charge(schedule, used, is_first=names not in models)
        if part is None:
            return None
        models.add(names)
        total = EXACT.add(total, part)
    return f"{total.normalize(EXACT):f}" if total <= MOST_USD else None


def facts_of(call: Fields, provider: str | None) -> CallFacts:
    """Return what decides about the rates of a call; arguments as for `price_of`."""
    raw: object = call.get("usage_raw")
    stated = cast("dict[str, object]", raw) if isinstance(raw, dict) else {}
    tier = call.get("service_tier") or stated.get("service_tier")
    named = provider or call.get("provider")
    return CallFacts(
        named if isinstance(named, str) else None,
        tier if isinstance(tier, str) and tier not in STANDARD_TIERS else None,
        stated.get("speed") == "fast",
        str(call.get("started_at")),
    )
