"""What is stored of a cell, and its form in the database: lists of numbers as JSON."""

from dataclasses import dataclass, field, fields, is_dataclass
from decimal import Decimal
from functools import reduce
from typing import Any, TypeVar, cast

import orjson

from cab.proxy.accounting.windows import NOTHING, Sums, WindowSums, sums_of
from cab.scoring.ledger.money import EXACT
from cab.scoring.ledger.totals import CallTotals, Fields

_Part = TypeVar("_Part")

SUMS = 1
"""Number of the rules by which records add up to rows. It is raised when the same records give other rows, and
only then: the first start after that reads each ledger from its beginning."""


@dataclass(slots=True)
class CellRow:
    """What the records of one ledger say of a cell, but for calls that have not ended."""

    last_seq: int = 0
    sealed: bool = False
    largest_tokens: int = 0
    """Tokens of the largest call."""
    by_key: dict[str, CallTotals] = field(default_factory=dict[str, CallTotals])
    """Totals of the calls that have ended, by the id of their key; "" are those without one."""
    stored_windows: WindowSums = field(default_factory=WindowSums)
    """What calls came to in the latest minute, day and month, but for those of the minute that is being read."""
    _minute: str = field(default="", compare=False)
    """An instant in that minute; the calls of one minute are added up at once, which is faster."""
    _before: Sums = field(default=NOTHING, compare=False)
    """What all calls had come to before it."""

    @property
    def totals(self) -> CallTotals:
        """Of all its keys."""
        return sum(self.by_key.values(), CallTotals())

    def add(self, call: Fields) -> None:
        """Add a call by its END."""
        totals = self.by_key.setdefault(str(call.get("key_id") or ""), CallTotals())
        started, ended = call.get("started_at"), call.get("ended_at")
        before = totals.tokens.total.known
        if type(started) is str and type(ended) is str and started[:16] == ended[:16]:
            if started[:16] != self._minute[:16]:
                self._end_minute()
                self._minute, self._before = ended, self._sums()
            totals.add(call)
        else:
            self._end_minute()
            sums = sums_of(totals, totals.calls)
            totals.add(call)
            self.stored_windows.add_call(call, sums_of(totals, totals.calls).minus(sums))
        self.largest_tokens = max(self.largest_tokens, totals.tokens.total.known - before)

    def joined(self, other: "CellRow") -> "CellRow":
        """Return what two parts of one ledger say of a cell together."""
        keys = self.by_key.keys() | other.by_key.keys()
        none, windows = CallTotals(), self.windows.without(WindowSums())
        windows.merge(other.windows)
        return CellRow(
            max(self.last_seq, other.last_seq),
            self.sealed or other.sealed,
            max(self.largest_tokens, other.largest_tokens),
            {key: self.by_key.get(key, none) + other.by_key.get(key, none) for key in sorted(keys)},
            windows,
        )

    @property
    def windows(self) -> WindowSums:
        """What the calls came to in their latest minute, day and month."""
        self._end_minute()
        return self.stored_windows

    def _end_minute(self) -> None:
        if self._minute:
            both = {"started_at": self._minute, "ended_at": self._minute}
            self.stored_windows.add_call(both, self._sums().minus(self._before))
            self._minute = ""

    def _sums(self) -> Sums:
        return reduce(
            Sums.plus, (sums_of(each, each.calls) for each in self.by_key.values()), NOTHING
        )

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
        windows = self.windows.without(other.windows)
        return CellRow(self.last_seq, self.sealed, self.largest_tokens, left, windows)

    def packed(self) -> bytes:
        """Return the form in the database."""
        keys = {key: _packed(totals) for key, totals in self.by_key.items()}
        parts = self.last_seq, int(self.sealed), self.largest_tokens, keys, self.windows.packed()
        return orjson.dumps(parts)

    @classmethod
    def unpacked(cls, data: bytes) -> "CellRow":
        """Return what `packed` packed."""
        last_seq, sealed, largest_tokens, keys, *windows = orjson.loads(data)
        by_key = {key: _unpacked(CallTotals(), values) for key, values in keys.items()}
        # Rows of versions that knew no limits of a minute, a day and a month have no windows.
        sums = WindowSums.unpacked(windows[0]) if windows else WindowSums()
        return cls(last_seq, bool(sealed), largest_tokens, by_key, sums)


def _packed(value: Any) -> Any:  # noqa: ANN401 - totals, or a part of them
    """Return all members of totals in the order of their fields, so that none can be forgotten."""
    if is_dataclass(value):
        values = [_packed(getattr(value, each.name)) for each in fields(value)]
        while values and not values[-1]:  # most totals have no part that is missing
            values.pop()
        return values
    return str(value or 0) if isinstance(value, Decimal) else value


def _unpacked(empty: _Part, values: Any) -> _Part:  # noqa: ANN401 - as `_packed` gives it
    """Return what was packed; what is not there is as in empty totals."""
    if is_dataclass(empty) and not isinstance(empty, type):
        parts = dict(enumerate(values or ()))
        members = enumerate(fields(empty))
        return type(empty)(*(_unpacked(getattr(empty, f.name), parts.get(n)) for n, f in members))
    if values is None:
        return empty
    if isinstance(empty, tuple):
        return cast("_Part", tuple(values))
    return cast("_Part", Decimal(values) if isinstance(empty, Decimal) else values)


_NO_SUMS = ("largest", "sources")
"""Members of totals that do not add up, so that nothing can be taken off them."""


def _without(more: _Part, less: _Part) -> _Part:
    if is_dataclass(more) and not isinstance(more, type):
        parts = (
            getattr(more, f.name)
            if f.name in _NO_SUMS
            else _without(getattr(more, f.name), getattr(less, f.name))
            for f in fields(more)
        )
        return type(more)(*parts)
    if isinstance(more, Decimal):
        return cast("_Part", max(Decimal(0), EXACT.subtract(more, cast("Decimal", less))))
    return cast("_Part", max(0, cast("float", more) - cast("float", less)))
