"""The operator's own table of prices: a TOML file, or the setting `prices` of the proxy."""

import fnmatch
import hashlib
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from cab.scoring.errors import BadRecord
from cab.scoring.files import check_regular, naming, validated
from cab.scoring.ledger.money import money
from cab.scoring.prices.rates import Rates, RateStep, Schedule
from cab.scoring.prices.rule import STANDARD_TIERS, CallFacts
from cab.scoring.prices.sources import TABLE

MAX_BYTES = 1 << 20
"""A table of some thousand models; a larger file is not one."""
_FAST = "fast"
_NO_NAME = "file"
_MAX_CACHED = 4096
"""Agents choose the names of models."""
_DIGEST_CHARS = 8


def _usd(value: object) -> Decimal:
    # A float is taken for the decimal that it was written as; nothing is computed with it.
    text = repr(value) if isinstance(value, float) else str(value)
    amount = (
        None
        if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal)
        else money(text)
    )
    if amount is None:
        raise ValueError('must be US dollars, 0 or more, such as 2.5 or "2.50"')
    return amount


Usd = Annotated[Decimal, BeforeValidator(_usd)]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class TableRates(_Part):
    """Rates as a table states them; what is not stated is as in the rates that these refine."""

    input: Usd | None = None
    """US dollars per million tokens of the prompt."""
    output: Usd | None = None
    """US dollars per million tokens of the completion."""
    cache_read: Usd | None = None
    """US dollars per million tokens read from a cache; without it they cost as `input`."""
    cache_write: Usd | None = None
    """US dollars per million tokens written to a cache; without it they cost as `input`."""
    cache_write_1h: Usd | None = None
    """US dollars per million tokens written to a cache for an hour; without it they cost as `cache_write`."""
    reasoning: Usd | None = None
    """US dollars per million tokens of reasoning; without it they cost as `output`."""
    input_audio: Usd | None = None
    """US dollars per million tokens of sound read; without it they cost as `input`."""
    output_audio: Usd | None = None
    """US dollars per million tokens of sound made; without it they cost as `output`."""
    request: Usd | None = None
    """US dollars for each call, however many passes over the model it takes."""
    web_search: Usd | None = None
    """US dollars for each search that the endpoint makes."""

    def over(self, base: Rates) -> Rates:
        """Return these rates, and those of `base` where none is stated."""
        stated = {name: getattr(self, name) for name in TableRates.model_fields}
        return Rates(
            **{name: getattr(base, name) if rate is None else rate for name, rate in stated.items()}
        )


class LongContext(TableRates):
    """Rates of calls with a long prompt, for all of their tokens."""

    above_tokens: Annotated[int, Field(ge=0)]
    """They hold for prompts of more tokens than this, cached ones included."""


class TierRates(TableRates):
    """Rates of a model in a service tier."""

    long_context: list[LongContext] = Field(default_factory=list[LongContext])
    """Rates of long prompts, each over those without it."""

    @model_validator(mode="after")
    def _sizes_differ(self) -> "TierRates":
        sizes = [each.above_tokens for each in self.long_context]
        if len({*sizes}) < len(sizes):
            raise ValueError("two entries of long_context have the same above_tokens")
        return self

    def schedule(self, base: Rates) -> Schedule:
        """Return the steps, over the rates of `base`."""
        plain = self.over(base)
        longer = sorted(self.long_context, key=lambda each: each.above_tokens)
        return (
            RateStep(-1, plain),
            *(RateStep(each.above_tokens, each.over(plain)) for each in longer),
        )


class ModelRates(TierRates):
    """Rates of a model."""

    service_tiers: dict[str, TierRates] = Field(default_factory=dict[str, TierRates])
    """Tier as the endpoint names it (`flex`, `priority`, `batch`, `fast`) -> its rates, over the model's."""

    @model_validator(mode="after")
    def _tiers_are_others(self) -> "ModelRates":
        for name in self.service_tiers:
            if name in STANDARD_TIERS:
                raise ValueError(
                    f"service_tiers.{name} is the standard tier; its rates are those of the model itself"
                )
        return self


class PriceTableFile(_Part):
    """A table as it stands in a file, or in the settings of the proxy."""

    name: _Name | None = None
    """What `price_source` calls it; without it the file's name, or `config`."""
    version: _Name | None = None
    """Stands in `price_source` too, with a digest of the rates."""
    models: dict[str, ModelRates] = Field(default_factory=dict[str, ModelRates])
    """Model, or a pattern of models -> its rates. A model's own name wins, then the first pattern."""


class PriceTable:
    """A table that calls are priced by.

    Args:
        stated: What it states.
        name: What it is called if it does not say so itself.
    """

    def __init__(self, stated: PriceTableFile, name: str) -> None:
        self._models = stated.models
        self._patterns = _patterns(stated)
        version = f"{stated.version}+" if stated.version else ""
        self.source = f"{TABLE}{stated.name or name}@{version}{_digest(stated)}"
        self._found: dict[tuple[str, ...], ModelRates | None] = {}
        self._schedules: dict[tuple[int, str | None], Schedule | None] = {}

    def knows(self, names: tuple[str, ...], provider: str | None) -> bool:  # noqa: ARG002 - of any provider
        """Return whether it lists a model; see `PriceList`."""
        return self._model(names) is not None

    def schedule(self, names: tuple[str, ...], facts: CallFacts) -> Schedule | None:
        """Return the rates of a model; see `PriceList`. A tier that the table does not name has none."""
        model = self._model(names)
        if model is None or (facts.is_fast and facts.tier is not None):
            return None
        tier = _FAST if facts.is_fast else facts.tier
        key = id(model), tier
        if key not in self._schedules and (tier is None or tier in model.service_tiers):
            self._schedules[key] = _schedule(model, tier)
        return self._schedules.get(key)

    def changes_by_day(self, names: tuple[str, ...], provider: str | None) -> bool:  # noqa: ARG002 - never at all
        """Return whether the rates are the same for a whole day; see `PriceList`."""
        return True

    def _model(self, names: tuple[str, ...]) -> ModelRates | None:
        try:
            return self._found[names]
        except KeyError:
            if len(self._found) >= _MAX_CACHED:
                self._found.clear()
            key = next(self._keys(names), None)
            found = self._found[names] = None if key is None else self._models[key]
            return found

    def _keys(self, names: tuple[str, ...]) -> Iterator[str]:
        yield from (name for name in names if name in self._models)
        for name in names:
            yield from (each for each in self._patterns if fnmatch.fnmatchcase(name, each))


def _schedule(model: ModelRates, tier: str | None) -> Schedule:
    plain = model.schedule(Rates())
    if tier is None:
        return plain
    found = model.service_tiers[tier].schedule(plain[0].rates or Rates())
    if len(found) > 1 or len(plain) == 1:
        return found
    # Long prompts cost more in the standard tier; what they cost in this one nobody says.
    return (*found, RateStep(plain[1].above_tokens, None))


def _patterns(stated: PriceTableFile) -> list[str]:
    return [name for name in stated.models if any(sign in name for sign in "*?[")]


def _digest(stated: PriceTableFile) -> str:
    rates = stated.model_dump(mode="json", exclude={"name", "version"}, exclude_none=True)
    patterns = _patterns(stated)
    if patterns != sorted(patterns):
        rates["patterns"] = (
            patterns  # the first one that fits counts, so their order is a part of the rates
        )
    return hashlib.sha256(orjson.dumps(rates, option=orjson.OPT_SORT_KEYS)).hexdigest()[
        :_DIGEST_CHARS
    ]


def read_price_table(path: Path) -> PriceTable:
    """Return the table that a TOML file holds; see `read_price_file`."""
    stated = read_price_file(path)
    return PriceTable(stated, stated.name or _NO_NAME)


def read_price_file(path: Path) -> PriceTableFile:
    """Return what a TOML file of prices states; one without a name of its own has the file's.

    Raises:
        BadRecord: The file cannot be read, is not TOML, or a key is unknown or wrong. It names file and key.
    """
    if check_regular(path) > MAX_BYTES:
        raise BadRecord(str(path), None, f"is over {MAX_BYTES} bytes; a table of prices is smaller")
    with naming(path):
        raw = path.read_bytes()
    try:
        data: dict[str, Any] = tomllib.loads(raw.decode(), parse_float=Decimal)
    except ValueError as error:
        raise BadRecord(str(path), None, f"not valid TOML: {error}") from error
    stem = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in path.stem)
    stated = validated(PriceTableFile, data, path)
    if not stated.models:
        raise BadRecord(str(path), None, "lists no model", field="models")
    if stated.name is not None:
        return stated
    is_name = stem[:1].isalnum()  # as `name` has to be
    return stated.model_copy(update={"name": stem[:64] if is_name else _NO_NAME})
