"""What the control API takes, validated, and what it answers of a cell and a key."""

from dataclasses import fields, replace
from decimal import ROUND_CEILING, Context, Decimal
from typing import Annotated, Any, Self, TypeVar
from urllib.parse import parse_qs

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from cab.proxy.accounting.admission import CellSnapshot
from cab.proxy.accounting.limits import KeyLimits, OnUnknown
from cab.proxy.auth import cell_keys
from cab.proxy.auth.cell_keys import CellKeys
from cab.proxy.auth.signing_keys import KeyRing
from cab.proxy.errors import BadConfig
from cab.proxy.http.error_responses import RequestFailed
from cab.scoring.ledger.bounds import MAX_CELL_ID_CHARS
from cab.scoring.ledger.seals import stated_sums
from cab.scoring.timestamps import rfc3339
from cab.scoring.validation import first_fault

MAX_BODY_BYTES = 1 << 16
MAX_PAGE = 10_000
_MONEY_PLACES = 12
_MAX_TTL_S = 10 * 366 * 86_400


def _whole(value: object) -> object:
    """Return 60 for 60.0: to JSON both are the same number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_Text = Annotated[str, Field(min_length=1, max_length=MAX_CELL_ID_CHARS)]
_Pattern = Annotated[str, Field(min_length=1, max_length=256)]
_Limit = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=2**53)]
_Usd = Annotated[str, Field(pattern=r"^[0-9]{1,12}(\.[0-9]{1,12})?$")]
_Model = TypeVar("_Model", bound=BaseModel)


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Mint(_Body):
    """A key that is to be made."""

    cell_id: _Text
    ttl_s: Annotated[int, BeforeValidator(_whole), Field(ge=1, le=_MAX_TTL_S)]
    max_calls: _Limit | None = None
    max_tokens: _Limit | None = None
    max_cost_usd: _Usd | None = None
    max_concurrency: _Limit | None = None
    on_unknown: OnUnknown | None = None
    models: Annotated[list[_Pattern], Field(min_length=1, max_length=64)] | None = None
    max_calls_per_minute: _Limit | None = None
    max_tokens_per_minute: _Limit | None = None
    max_cost_usd_per_minute: _Usd | None = None
    max_calls_per_day: _Limit | None = None
    max_tokens_per_day: _Limit | None = None
    max_cost_usd_per_day: _Usd | None = None
    max_calls_per_month: _Limit | None = None
    max_tokens_per_month: _Limit | None = None
    max_cost_usd_per_month: _Usd | None = None
    share: Annotated[str, Field(pattern=r"^[0-9]{1,7}/[0-9]{1,7}$")] | None = None
    """The part of the limits above that the key gets, as for one of several proxies."""

    @model_validator(mode="after")
    def _limits_are_some(self) -> Self:
        self.limits()
        return self

    def limits(self) -> KeyLimits:
        """Return what the cell may spend: of the limits that are asked for, the share."""
        return KeyLimits.from_claims(self.model_dump(exclude={"cell_id", "ttl_s"})).part()


def mint_request(cell_id: str, ttl_s: int, limits: KeyLimits | None = None) -> Mint:
    """Return a key that a program asks for, checked as the control API checks it.

    Money is rounded up to what a key can hold, 12 decimal places. If `limits` names a share, the key gets
    that part of them.

    Raises:
        BadConfig: A value is not a valid one; it is named.
    """
    if limits is None:
        limits = KeyLimits()
    elif not isinstance(limits, KeyLimits):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
        raise BadConfig("no key was made: limits must be a KeyLimits, as KeyLimits(max_calls=1)")
    money = {f.name: getattr(limits, f.name) for f in fields(limits) if "cost_usd" in f.name}
    amounts: dict[str, Any] = {
        name: _rounded_up(usd)
        for name, usd in money.items()
        if isinstance(usd, Decimal) and usd.is_finite()
    }
    limits = replace(limits, **amounts)
    try:
        return Mint.model_validate({**limits.claims(), "cell_id": cell_id, "ttl_s": ttl_s})
    except ValidationError as error:
        raise BadConfig(f"no key was made: {_explain(error, Mint)}") from None


def _rounded_up(usd: Decimal) -> Decimal:
    if usd.as_tuple().exponent >= -_MONEY_PLACES:  # type: ignore[operator]
        return usd
    return usd.quantize(Decimal(1).scaleb(-_MONEY_PLACES), ROUND_CEILING, Context(prec=1000))


class Revoke(_Body):
    """What is to be revoked: one of the three."""

    key: _Text | None = None
    """A key itself."""
    key_id: _Text | None = None
    """A key's `jti`."""
    cell_id: _Text | None = None
    """All keys of a cell that were minted up to now."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if len(self.model_fields_set) != 1 or None in self.model_dump(exclude_unset=True).values():
            raise ValueError("give one of key, key_id and cell_id")
        return self


class Page(_Body):
    """Which cells are asked for."""

    model_config = ConfigDict(strict=False)  # a query holds texts only

    prefix: str = ""
    after: str | None = None
    """Cells after this one."""
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 1000


def parse_body(model: type[_Model], body: bytes) -> _Model:
    """Return a request's body.

    Raises:
        RequestFailed: It is not such JSON; the field is named, its value is not: it may be a key.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise RequestFailed(400, "bad_request", _explain(error, model)) from None


def checked_id(cell_id: str) -> str:
    """Return the id of a cell that is to be opened.

    Raises:
        RequestFailed: No key could be made for it.
    """
    if len(cell_id) > MAX_CELL_ID_CHARS:
        message = f"the cell's id has more than {MAX_CELL_ID_CHARS} characters"
        raise RequestFailed(400, "bad_request", message)
    return cell_id


def parse_page(query: str) -> Page:
    """Return what a query asks for.

    Raises:
        RequestFailed: A parameter is unknown, is there twice, or has a wrong value.
    """
    found = parse_qs(query, keep_blank_values=True)
    values = {name: texts[0] if len(texts) == 1 else texts for name, texts in found.items()}
    try:
        return Page.model_validate(values)
    except ValidationError as error:
        raise RequestFailed(400, "bad_request", _explain(error, Page)) from None


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    fault = first_fault(error)
    if (
        fault.kind == "extra_forbidden"
    ):  # its name may be a key that somebody put in the wrong place
        return f"a name is unknown; known are {', '.join(model.model_fields)}"
    return f"{fault.field}: {fault.message}" if fault.field else fault.message


def cell_view(cell: CellSnapshot) -> dict[str, Any]:
    """Return what is answered of a cell."""
    cost = cell.totals.cost
    return {
        "cell_id": cell.cell_id,
        "sealed": cell.sealed,
        "calls_in_flight": cell.in_flight,
        **stated_sums(cell.totals),
        "cost_usd": None if cost.value is None else f"{cost.value:f}",
        "unpriced_calls": cost.missing,
        "price_sources": list(cost.price_sources),
    }


def key_view(ring: KeyRing, keys: CellKeys) -> dict[str, Any]:
    """Return what is answered of new keys, made with the same ring."""
    key, seal_key = cell_keys.verify(ring, keys.call, 0), cell_keys.verify(ring, keys.seal, 0)
    return {
        "key": keys.call,
        "key_id": key.key_id,
        "seal_key": keys.seal,
        "seal_key_id": seal_key.key_id,
        "cell_id": key.cell_id,
        "expires_at": rfc3339(key.expires_s * 1_000_000_000),
        "limits": key.limits.claims(),
    }
