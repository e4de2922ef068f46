"""What is stored of a cell, and its form in the database: lists of numbers as JSON."""

from dataclasses import astuple, dataclass, field
from decimal import Decimal
from typing import Any

import orjson

from cab.scoring.ledger.money import EXACT
from cab.scoring.ledger.totals import CallTotals, Fields, MoneyTotal, TokenTotals, Total


@dataclass(slots=True)
class CellRow:
    """What the records of one ledger say of a cell, but for calls that have not ended."""

    last_seq: int = 0
    sealed: bool = False
    largest_tokens: int = 0
    """Tokens of the largest call."""
    by_key: dict[str, CallTotals] = field(default_factory=dict[str, CallTotals])
    """Totals of the calls that have ended, by the id of their key; "" are those without one."""

    @property
    def totals(self) -> CallTotals:
        """Of all its keys."""
        return sum(self.by_key.values(), CallTotals())

    def add(self, call: Fields) -> None:
        """Add a call by its END."""
        totals = self.by_key.setdefault(str(call.get("key_id") or ""), CallTotals())
        before = totals.tokens.total.known
        totals.add(call)
        self.largest_tokens = max(self.largest_tokens, totals.tokens.total.known - before)

    def without(self, other: "CellRow") -> "CellRow | None":
        """Return what this one holds over another one; None if that is nothing.

        Args:
            other: Made from what is left of the same ledger.
        """
        left: dict[str, CallTotals] = {}
        for key, totals in self.by_key.items():
            rest = _without(totals, other.by_key.get(key, CallTotals()))
            if (
                rest.calls
                or rest.tokens.total.known
                or rest.tokens.total.missing
                or rest.cost.known
            ):
                left[key] = rest
        if not left and self.sealed <= other.sealed:
            return None
        return CellRow(self.last_seq, self.sealed, self.largest_tokens, left)

    def packed(self) -> bytes:
        """Return the form in the database."""
        keys = {key: _packed(totals) for key, totals in self.by_key.items()}
        return orjson.dumps([self.last_seq, int(self.sealed), self.largest_tokens, keys])

    @classmethod
    def unpacked(cls, data: bytes) -> "CellRow":
        """Return what `packed` packed."""
        last_seq, sealed, largest_tokens, keys = orjson.loads(data)
        by_key = {key: _unpacked(values) for key, values in keys.items()}
        return cls(last_seq, bool(sealed), largest_tokens, by_key)


def _packed(totals: CallTotals) -> list[Any]:
    tokens, cost = totals.tokens, totals.cost
    sums = (
        *(tokens.prompt, tokens.completion, tokens.total),
        *(tokens.cache_read, tokens.cache_write, tokens.reasoning, totals.latency_ms),
    )
    return [
        [totals.calls, totals.attempts, totals.partial_calls, totals.rejected],
        [str(cost.known), cost.priced, cost.missing, str(cost.largest)],
        *(_trimmed(astuple(each)) for each in sums),
    ]


def _trimmed(values: tuple[Any, ...]) -> list[Any]:
    """Return the values up to the last one that is not 0: most totals have no part that is missing."""
    end = len(values)
    while end > 1 and not values[end - 1]:
        end -= 1
    return list(values[:end])


def _unpacked(values: list[Any]) -> CallTotals:
    (calls, attempts, partial, rejected), (known, priced, missing, largest), *sums = values
    *tokens, latency = (Total(*each) for each in sums)
    cost = MoneyTotal(Decimal(known), priced, missing, Decimal(largest))
    return CallTotals(calls, attempts, partial, rejected, TokenTotals(*tokens), cost, latency)


def _without(more: CallTotals, less: CallTotals) -> CallTotals:
    a, b = _packed(more), _packed(less)
    counts = _difference(a[0], b[0])
    cost = [
        str(max(Decimal(0), EXACT.subtract(more.cost.known, less.cost.known))),
        max(0, more.cost.priced - less.cost.priced),
        max(0, more.cost.missing - less.cost.missing),
        str(more.cost.largest),
    ]
    return _unpacked([counts, cost, *map(_difference, a[2:], b[2:])])


def _difference(more: list[Any], less: list[Any]) -> list[Any]:
    filled = [*less, *([0] * (len(more) - len(less)))]
    return [max(0, a - b) for a, b in zip(more, filled, strict=False)]
