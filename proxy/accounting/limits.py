"""What a cell may spend and on which models, as its key says it."""

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any, Literal, NamedTuple, Self, cast, get_args

from cab.proxy.accounting.windows import PERIODS
from cab.scoring.ledger.money import money

OnUnknown = Literal["charge", "exhaust", "ignore"]
"""What a call costs its limits that may have cost something and was not counted: what it can have cost
at most, all that is left, or nothing."""
_MAX_PATTERNS = 64
_MAX_PATTERN_CHARS = 256
_MONEY_UNIT = Decimal("0.000000000001")
_MOST_COUNT = 1 << 53
"""As for the count of a call; larger ones are no limit, and some readers of JSON cannot hold them."""
_MOST_PARTS = 10**6
"""A limit that is split into more parts than that is a mistake."""

Amount = Literal["calls", "tokens", "cost_usd"]
AMOUNTS: tuple[Amount, ...] = get_args(Amount)
"""What the limits of a minute, a day and a month count."""


class WindowLimit(NamedTuple):
    """A limit of what a cell may spend in a minute, a day or a month."""

    name: str
    """Of the limit, such as `max_tokens_per_day`."""
    period: int
    """Which one of `PERIODS`."""
    amount: Amount
    most: int | Decimal


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """Limits of a cell; None is no limit."""

    max_calls: int | None = None
    max_tokens: int | None = None
    """Prompt and completion tokens together."""
    max_cost_usd: Decimal | None = None
    max_concurrency: int | None = None
    """Calls in flight at the same time."""
    on_unknown: OnUnknown | None = None
    """None: as the proxy is set."""
    models: tuple[str, ...] | None = None
    """Patterns of the models that it may call, such as `gpt-*`."""
    max_calls_per_minute: int | None = None
    """Model calls that are admitted in one minute of the clock; further ones wait."""
    max_tokens_per_minute: int | None = None
    """Prompt and completion tokens of the calls that end in it."""
    max_cost_usd_per_minute: Decimal | None = None
    max_calls_per_day: int | None = None
    """In one day of UTC, as the next two."""
    max_tokens_per_day: int | None = None
    max_cost_usd_per_day: Decimal | None = None
    max_calls_per_month: int | None = None
    """In one month of UTC, as the next two."""
    max_tokens_per_month: int | None = None
    max_cost_usd_per_month: Decimal | None = None
    share: str | None = None
    """Which part of the whole these limits are, such as `1/3`; None: they are the whole. Whoever asks for a
    key gives the whole, and the key holds the part."""
    windows: tuple[WindowLimit, ...] = field(init=False, repr=False, compare=False)
    """The limits of a month, a day and a minute that are set, in this order."""
    bound_nothing: bool = field(init=False, repr=False, compare=False)
    """Whether none of them can hold a call up."""

    def __post_init__(self) -> None:
        """Find the limits of windows, and whether there is any that can hold a call up."""
        named = [(each, getattr(self, each[0])) for each in WINDOW_LIMITS]
        windows = [WindowLimit(*each, most) for each, most in named if most is not None]
        windows.sort(key=lambda each: -each.period)
        object.__setattr__(self, "windows", tuple(windows))
        binds = self.bound_spending or self.max_concurrency is not None
        object.__setattr__(self, "bound_nothing", not binds)

    def allow(self, models: Iterable[str]) -> bool:
        """Return whether all of these models may be called; letters count as they are written."""
        patterns = ("*",) if self.models is None else self.models
        return all(any(fnmatch.fnmatchcase(name, p) for p in patterns) for name in models)

    @property
    def bound_spending(self) -> bool:
        """Whether one of them bounds what a cell may spend, in all or in a time."""
        in_all = self.max_calls, self.max_tokens, self.max_cost_usd
        return in_all != (None, None, None) or bool(self.windows)

    def claims(self) -> dict[str, int | str | list[str]]:
        """Return the limits that are set, as a key names them; money as decimal text."""
        named = ((f.name, getattr(self, f.name)) for f in fields(self) if f.init)
        return {name: _claim(value) for name, value in named if value is not None}

    def part(self) -> Self:
        """Return the part of these limits that `share` names.

        Numbers are rounded down, money to 12 decimal places, so that the parts of a limit never come to
        more than it.

        Raises:
            ValueError: There is no such part, or of a limit it is nothing.
        """
        if self.share is None:
            return self
        share = _fraction(self.share)
        parts: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name) if each.init else None
            if isinstance(value, int | Decimal):
                parts[each.name] = _part(each.name, value, share)
        return replace(self, **parts)

    @classmethod
    def from_claims(cls, claims: dict[str, Any]) -> Self:
        """Return the limits that a key names.

        Raises:
            ValueError: One of them is not a valid limit; it is named.
        """
        return cls(
            _count(claims, "max_calls"),
            _count(claims, "max_tokens"),
            _money(claims, "max_cost_usd"),
            _count(claims, "max_concurrency"),
            _on_unknown(claims.get("on_unknown")),
            _patterns(claims, "models"),
            **{n: _amount(claims, n, amount) for n, _, amount in WINDOW_LIMITS if n in claims},
            share=_share(claims.get("share")),
        )


WINDOW_LIMITS: tuple[tuple[str, int, Amount], ...] = tuple(
    (f"max_{amount}_per_{name}", period, amount)
    for period, name in enumerate(PERIODS)
    for amount in AMOUNTS
)
"""The limits of a minute, a day and a month: name, which one of `PERIODS`, and what it counts."""


def _amount(claims: dict[str, Any], name: str, amount: Amount) -> Any:  # noqa: ANN401 - one of both
    return _money(claims, name) if amount == "cost_usd" else _count(claims, name)


def _share(value: object) -> str | None:
    if value is None:
        return None
    _fraction(value)
    return cast("str", value)


def _fraction(value: object) -> Fraction:
    """Return the part of a whole that a text like `1/3` names."""
    above, _, below = value.partition("/") if isinstance(value, str) else ("", "", "")
    counts = [int(n) for n in (above, below) if n.isascii() and n.isdecimal() and len(n) < 8]
    if len(counts) != 2 or not 0 < counts[0] <= counts[1] <= _MOST_PARTS:
        raise ValueError("share must be a part of the whole such as 1/3, 1/1 at most")
    return Fraction(*counts)


def _part(name: str, whole: int | Decimal, share: Fraction) -> int | Decimal:
    part = Fraction(whole) * share
    if isinstance(whole, int):
        found: int | Decimal = part.numerator // part.denominator
    else:
        units = part / Fraction(_MONEY_UNIT)
        found = Decimal(units.numerator // units.denominator).scaleb(-12, Context(prec=1000))
    if not found:
        raise ValueError(
            f"{name}: {share} of {whole} is nothing; give a larger limit or fewer parts"
        )
    return found


def _claim(value: Any) -> int | str | list[str]:  # noqa: ANN401 - of any limit
    if isinstance(value, tuple):
        return list(cast("tuple[str, ...]", value))
    return f"{value:f}" if isinstance(value, Decimal) else value


def _patterns(claims: dict[str, Any], name: str) -> tuple[str, ...] | None:
    value = claims.get(name)
    if value is None:
        return None
    found = tuple(cast("list[object]", value)) if isinstance(value, list) else ()
    texts = tuple(p for p in found if isinstance(p, str) and 0 < len(p) <= _MAX_PATTERN_CHARS)
    if not 0 < len(found) <= _MAX_PATTERNS or len(texts) < len(found):
        raise ValueError(
            f"{name} must be a list of 1 to {_MAX_PATTERNS} patterns of model names, "
            f"each of 1 to {_MAX_PATTERN_CHARS} characters"
        )
    return texts


def _count(claims: dict[str, Any], name: str) -> int | None:
    value = claims.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST_COUNT:
        raise ValueError(f"{name} must be a whole number, 1 to {_MOST_COUNT}")
    return value


def _on_unknown(value: object) -> OnUnknown | None:
    for known in get_args(OnUnknown):
        if value == known:
            return cast("OnUnknown", known)
    if value is None:
        return None
    raise ValueError(f"on_unknown must be one of {', '.join(get_args(OnUnknown))}")


def _money(claims: dict[str, Any], name: str) -> Decimal | None:
    value = claims.get(name)
    if value is None:
        return None
    # As text only: a JSON number would be read as a float, and 0.1 is none.
    amount = money(value) if isinstance(value, str) else None
    if not amount:
        raise ValueError(f'{name} must be decimal text above 0, such as "2.50"')
    return amount
