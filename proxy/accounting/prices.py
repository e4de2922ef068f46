"""What calls cost that their endpoint states no price of: the operator's table first, then the public list."""

import asyncio
from typing import Any

from cab.proxy.config import ProxySettings
from cab.proxy.errors import BadConfig
from cab.proxy.logs import RedactingLogger
from cab.scoring.errors import BadRecord
from cab.scoring.prices.library import LibraryPrices, library_prices, may_be_listed
from cab.scoring.prices.plain import PlainRule, plain_rule
from cab.scoring.prices.rule import PriceList, facts_of, names_of, price_of
from cab.scoring.prices.sources import source_words
from cab.scoring.prices.table import PriceTable, read_price_file

NOBODY = "none"
"""As a provider: the public list is not asked."""

_DAY = 10
"""Characters of an instant's date."""
_MOST_READY = 1024
"""Agents choose the names of models."""

log = RedactingLogger()


def with_prices_read(settings: ProxySettings) -> ProxySettings:
    """Return settings that hold what their `prices_file` says, in its place.

    So all workers have the same prices, those too that start after the file was changed.

    Raises:
        BadConfig: The file cannot be used.
    """
    if settings.prices_file is None:
        return settings
    try:
        prices = read_price_file(settings.prices_file)
    except BadRecord as error:
        raise BadConfig(f"prices_file: {error}") from error
    return settings.model_copy(update={"prices": prices, "prices_file": None})


def price_table(settings: ProxySettings) -> PriceTable | None:
    """Return the operator's table, of settings with its file read; None if there is none."""
    return PriceTable(settings.prices, "config") if settings.prices.models else None


def trusted_prices(settings: ProxySettings) -> str:
    """Return words for whose prices the limits of keys are kept by, of settings with the file read."""
    table = price_table(settings)
    lists = ["the endpoint", *([] if table is None else [table.source]), "genai-prices"]
    return f"prices of {', '.join(lists)}"


def priced_by(settings: ProxySettings) -> str:
    """Return words for who is asked what a call costs, the first one first, of settings with the file read."""
    table = price_table(settings)
    names = ["the endpoint", *([] if table is None else [source_words(table.source)])]
    endpoints = [(settings.provider, settings.upstream)]
    endpoints += [(route.provider, route.upstream) for route in settings.routes]
    if any(_asks_the_list(provider, url) for provider, url in endpoints):
        names.append("genai-prices")
    if len(names) == 1:
        return "by the endpoint alone; prices_file adds a table"
    return f"by {', then '.join(names)}"


def _asks_the_list(provider: str | None, url: str) -> bool:
    """Return whether the public list may know what an endpoint costs."""
    return provider != NOBODY and (provider is not None or may_be_listed(url))


class EndpointPrices:
    """What calls of one endpoint cost.

    Args:
        table: The operator's table.
        provider: Who sells its tokens, by the names of the public list; None: whoever has its URL there.
        url: Its base.
    """

    def __init__(self, table: PriceTable | None, provider: str | None, url: str) -> None:
        self._table = table
        self._provider = None if provider == NOBODY else provider
        self._url = url
        self._library: LibraryPrices | None = None
        self._ready: dict[tuple[Any, ...], tuple[PlainRule | None, str | None]] = {}
        """Rules of plain calls by what decides about their rates."""
        self._lock = asyncio.Lock()
        self._may_load = _asks_the_list(provider, url)
        self.table_source = None if table is None else table.source
        """The operator's table and its version; None: there is none."""

    def put(self, record: dict[str, Any]) -> None:
        """Put a price into an END record that has none, if one is known now."""
        record["provider"] = self._provider
        if record["cost_usd"] is not None or record["usage_source"] == "none":
            return
        try:
            price, source = self._price(record)
        except Exception as error:  # noqa: BLE001 - a fault in a list of prices must not break a call
            log.warning("call_not_priced", error=repr(error), call_id=record["call_id"])
            return
        if price is not None:
            record["cost_usd"], record["price_source"] = price, source

    def is_waiting(self, record: dict[str, Any]) -> bool:
        """Return whether the price of a call may be known once the public list is loaded."""
        if not self._may_load or record["cost_usd"] is not None or record["usage_source"] == "none":
            return False
        return self._table is None or not self._table.knows(_names(record), self._provider)

    async def load(self) -> None:
        """Load the public list; that it cannot be had is logged, and it is not asked again."""
        async with self._lock:  # calls that end meanwhile wait for it too
            if self._may_load:
                await self._load()
                self._may_load = False

    async def _load(self) -> None:
        try:
            library = await asyncio.to_thread(library_prices)
        except Exception as error:  # noqa: BLE001 - without it calls have no price, as before
            log.warning("prices_not_loaded", error=repr(error))
            return
        if self._provider is None:
            self._provider = library.provider_at(self._url)
        elif not library.has_provider(self._provider):
            log.warning("provider_unknown", provider=self._provider, list=library.source)
        self._library = library
        self._ready.clear()

    def _price(self, record: dict[str, Any]) -> tuple[str | None, str | None]:
        """Return a price and its source; plain calls go by rules that are ready."""
        raw = record.get("usage_raw")
        key = (
            record["model_served"],
            record["model_requested"],
            record.get("service_tier"),
            *((raw.get("service_tier"), raw.get("speed")) if raw else (None, None)),
            record["started_at"][:_DAY],
        )
        try:
            rule, source = self._ready[key]
        except KeyError:
            rule, source = self._make_ready(key, record)
        except TypeError:  # an endpoint may name anything
            rule, source = None, None
        price = None if rule is None else rule.price(record)
        if price is not None:
            return price, source
        prices = self._list_for(record)
        if prices is None:
            return None, None
        return price_of(record, prices, self._provider), prices.source

    def _make_ready(
        self, key: tuple[Any, ...], record: dict[str, Any]
    ) -> tuple[PlainRule | None, str | None]:
        prices, names, rule = self._list_for(record), _names(record), None
        if prices is not None and names and prices.changes_by_day(names, self._provider):
            schedule = prices.schedule(names, facts_of(record, self._provider))
            rule = None if schedule is None else plain_rule(schedule)
        if len(self._ready) >= _MOST_READY:
            self._ready.clear()
        ready = self._ready[key] = rule, None if prices is None else prices.source
        return ready

    def _list_for(self, record: dict[str, Any]) -> PriceList | None:
        """Return the first list that knows the model; it decides, be it that it has no price for the call."""
        names = _names(record)
        if self._table is not None and self._table.knows(names, self._provider):
            return self._table
        return self._library


def _names(record: dict[str, Any]) -> tuple[str, ...]:
    return names_of(record["model_served"], record["model_requested"])
