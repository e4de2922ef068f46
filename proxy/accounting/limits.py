"""What a cell may spend and on which models, as its key says it."""

import fnmatch
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, Self, cast, get_args

OnUnknown = Literal["charge", "exhaust", "ignore"]
"""What a call costs its limits that may have cost something and was not counted: what it can have cost
at most, all that is left, or nothing."""
_MAX_PATTERNS = 64
_MAX_PATTERN_CHARS = 256


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

    def allow(self, models: Iterable[str]) -> bool:
        """Return whether all of these models may be called; letters count as they are written."""
        patterns = ("*",) if self.models is None else self.models
        return all(any(fnmatch.fnmatchcase(name, p) for p in patterns) for name in models)

    @property
    def bound_spending(self) -> bool:
        """Whether one of them bounds what a cell may spend in all."""
        return (self.max_calls, self.max_tokens, self.max_cost_usd) != (None, None, None)

    @property
    def bound_nothing(self) -> bool:
        """Whether none of them can hold a call up."""
        return not self.bound_spending and self.max_concurrency is None

    def claims(self) -> dict[str, int | str | list[str]]:
        """Return the limits that are set, as a key names them; money as decimal text."""
        named = ((name, value) for name, value in asdict(self).items() if value is not None)
        return {name: _claim(value) for name, value in named}

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
        )


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
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a whole number, 1 or more")
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
    try:
        # As text only: a JSON number would be read as a float, and 0.1 is none.
        amount = Decimal(value) if isinstance(value, str) else Decimal("NaN")
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount <= 0:
        raise ValueError(f'{name} must be decimal text above 0, such as "2.50"')
    return amount
