"""What calls cost that their endpoint states no price of: the operator's table first, then the public list."""

import asyncio
from typing import Any

from cab.proxy.config import ProxySettings
from cab.proxy.errors import BadConfig
from cab.proxy.logs import RedactingLogger
from cab.scoring.errors import BadRecord
from cab.scoring.prices.library import LibraryPrices, library_prices, may_be_listed
from cab.scoring.prices.rule import PriceList, names_of, price_of
from cab.scoring.prices.table import PriceTable, read_price_table

NOBODY = "none"
"""As a provider: the public list is not asked."""

log = RedactingLogger()


def price_table(settings: ProxySettings) -> PriceTable | None:
    """Return the operator's table; None if there is none.

    Raises:
        BadConfig: Its file cannot be used.
    """
    if settings.prices.models:
        return PriceTable(settings.prices, "config")
    if settings.prices_file is None:
        return None
    try:
        return read_price_table(settings.prices_file)
    except BadRecord as error:
        raise BadConfig(f"prices_file: {error}") from error


def trusted_prices(settings: ProxySettings) -> str:
    """Return words for whose prices the limits of keys are kept by.

    Raises:
        BadConfig: The operator's table cannot be used.
    """
    table = price_table(settings)
    lists = ["the endpoint", *([] if table is None else [table.source]), "genai-prices"]
    return f"prices of {', '.join(lists)}"


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
        self._lock = asyncio.Lock()
        self._may_load = provider != NOBODY and (provider is not None or may_be_listed(url))
        self.table_source = None if table is None else table.source
        """The operator's table and its version; None: there is none."""

    def put(self, record: dict[str, Any]) -> None:
        """Put a price into an END record that has none, if one is known now."""
        record["provider"] = self._provider
        if record["cost_usd"] is not None or record["usage_source"] == "none":
            return
        try:
            prices = self._list_for(record)
            price = None if prices is None else price_of(record, prices, self._provider)
        except Exception as error:  # noqa: BLE001 - a fault in a list of prices must not break a call
            log.warning("call_not_priced", error=repr(error), call_id=record["call_id"])
            return
        if prices is not None and price is not None:
            record["cost_usd"], record["price_source"] = price, prices.source

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

    def _list_for(self, record: dict[str, Any]) -> PriceList | None:
        """Return the first list that knows the model; it decides, be it that it has no price for the call."""
        names = _names(record)
        if self._table is not None and self._table.knows(names, self._provider):
            return self._table
        return self._library


def _names(record: dict[str, Any]) -> tuple[str, ...]:
    return names_of(record["model_served"], record["model_requested"])
