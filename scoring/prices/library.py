"""The public list of prices in the library genai-prices, as it was when that was released.

It takes a second and 100 MB, so it is loaded on first use. Nothing is ever fetched over the network.
"""

import ipaddress
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cab.scoring.ledger.money import EXACT
from cab.scoring.prices.rates import Rates, RateStep, Schedule
from cab.scoring.prices.rule import CallFacts
from cab.scoring.prices.sources import LIBRARY

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

DISTRIBUTION = "genai-prices"
_MAX_CACHED = 4096
"""Agents choose the names of models."""
_DAY, _SECOND = 10, 19
"""Characters of an instant up to there."""
_KEYS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_5m_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_reasoning_mtok": "reasoning",
    "input_audio_mtok": "input_audio",
    "output_audio_mtok": "output_audio",
    "requests_kcount": "request",
    "web_searches_kcount": "web_search",
}
"""Its names of rates -> ours."""
_PER_THOUSAND = frozenset(("requests_kcount", "web_searches_kcount"))
_UNSEEN = frozenset(("cache_audio_read_mtok", "storage_searches_kcount"))
"""Rates of what no usage object states; where it matters, the parts beside it decide."""
_MEDIA = re.compile(r"_(image|video)_")


class LibraryPrices:
    """Prices of the list; knows a model only together with its provider."""

    def __init__(self) -> None:
        from genai_prices.data import providers  # noqa: PLC0415 - takes long, and few calls need it

        self._providers = providers
        self._by_id = {provider.id: provider for provider in providers}
        self.source = f"{LIBRARY}{version(DISTRIBUTION)}"
        self._models: dict[tuple[str | None, tuple[str, ...]], tuple[ModelInfo, int] | None] = {}
        self._schedules: dict[tuple[Any, ...], Schedule | None] = {}

    def provider_at(self, url: str) -> str | None:
        """Return the name of the provider whose API has a URL; None if the list has none there."""
        return next((each.id for each in self._providers if re.match(each.api_pattern, url)), None)

    def has_provider(self, name: str) -> bool:
        """Return whether the list has a provider of this name."""
        return name in self._by_id

    def knows(self, names: tuple[str, ...], provider: str | None) -> bool:
        """Return whether it lists a model; see `PriceList`."""
        return self._model(provider, names) is not None

    def schedule(self, names: tuple[str, ...], facts: CallFacts) -> Schedule | None:
        """Return the rates of a model; see `PriceList`. A tier that the list does not name has none."""
        found = self._model(facts.provider, names)
        if found is None:
            return None
        model, day = found
        key = facts.provider, model.id, facts.tier, facts.is_fast, facts.started_at[:day]
        try:
            return self._schedules[key]
        except KeyError:
            if len(self._schedules) >= _MAX_CACHED:
                self._schedules.clear()
            rates = self._schedules[key] = self._rates(model, facts)
            return rates

    def changes_by_day(self, names: tuple[str, ...], provider: str | None) -> bool:
        """Return whether the rates are the same for a whole day; see `PriceList`."""
        found = self._model(provider, names)
        return found is None or found[1] == _DAY

    def _model(
        self, provider: str | None, names: tuple[str, ...]
    ) -> "tuple[ModelInfo, int] | None":
        """Return a model, and how much of an instant decides about its rates: the day, or the second."""
        key = provider, names
        try:
            return self._models[key]
        except KeyError:
            if len(self._models) >= _MAX_CACHED:
                self._models.clear()
            model = self._find(self._by_id.get(provider or ""), names)
            found = (
                None if model is None else (model, _SECOND if _changes_by_the_hour(model) else _DAY)
            )
            self._models[key] = found
            return found

    def _find(self, provider: "Provider | None", names: tuple[str, ...]) -> "ModelInfo | None":
        if provider is None:
            return None
        found = (provider.find_model(name, all_providers=self._providers) for name in names)
        return next((model for model in found if model is not None), None)

    def _rates(self, model: "ModelInfo", facts: CallFacts) -> Schedule | None:
        try:
            at = datetime.fromisoformat(facts.started_at)
        except ValueError:
            return None
        context = _context(facts)
        own = self._by_id[facts.provider or ""].models
        for item in context.items():
            if not any(model is each for each in own) or not _has_variant(model, item, at):
                return None
        return _schedule(model.get_prices(at, context or None))


def _context(facts: CallFacts) -> dict[str, str]:
    context: dict[str, str] = {}
    if facts.tier == "batch":
        context["processing"] = "batch"
    elif facts.tier is not None:
        context["service_tier"] = facts.tier
    if facts.is_fast:
        context["speed"] = "fast"
    return context


def _has_variant(model: "ModelInfo", item: tuple[str, str], at: datetime) -> bool:
    name, value = item
    return any(
        each.when.get(name) == value and (each.constraint is None or each.constraint.active(at))
        for each in model.price_variants or ()
    )


def _changes_by_the_hour(model: "ModelInfo") -> bool:
    if not isinstance(model.prices, list):
        return False
    constraints = [each.constraint for each in model.prices]
    constraints += [each.constraint for each in model.price_variants or ()]
    return any(hasattr(each, "start_time") for each in constraints)


def _schedule(price: "ModelPrice") -> Schedule | None:
    """Return the steps; None if anything has a rate that no usage object can be charged by."""
    stated: Mapping[str, Decimal | TieredPrices | None] = vars(price)
    rates = {name: rate for name, rate in stated.items() if rate is not None}
    media = {name for name in rates if _MEDIA.search(name)}
    if rates.keys() - _KEYS.keys() - _UNSEEN - media:
        return None
    known = {name: rate for name, rate in rates.items() if name in _KEYS}
    sizes = {
        tier.start
        for rate in known.values()
        if not isinstance(rate, Decimal)
        for tier in rate.tiers
    }
    return tuple(
        RateStep(
            size,
            Rates(
                **{_KEYS[name]: _at(name, rate, size) for name, rate in known.items()},
                has_media=bool(media),
            ),
        )
        for size in (-1, *sorted(sizes))
    )


def _at(name: str, rate: "Decimal | TieredPrices", size: int) -> Decimal:
    """Return the rate of prompts that are over a size, by a token at least."""
    if isinstance(rate, Decimal):
        found = rate
    else:
        found = rate.base
        for tier in rate.tiers:
            if tier.start <= size:
                found = tier.price
    return EXACT.scaleb(found, -3) if name in _PER_THOUSAND else found


@cache
def library_prices() -> LibraryPrices:
    """Return the list; loads it when it is first called.

    Raises:
        ImportError: The library is not installed, or not of a version that can be read.
    """
    return LibraryPrices()


def may_be_listed(url: str) -> bool:
    """Return whether a URL can be that of a provider: not one of this machine or of a local network."""
    host = urlsplit(url).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." in host and not host.endswith((".local", ".internal", ".localhost"))
    return False
