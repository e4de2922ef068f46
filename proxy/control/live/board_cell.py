"""A cell on the board, and what is shown of it."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from typing import Any

from cab.proxy.accounting.admission import CellLimits
from cab.proxy.accounting.spending import spent_of
from cab.scoring.ledger.totals import CallTotals
from cab.scoring.prices.sources import weakest_kind
from cab.scoring.printable import printable

_BARS = 24
_NAME_CHARS = 200


@dataclass(slots=True)
class BoardCell:
    """A cell as far as the board has seen it."""

    cell_id: str | None
    first_s: float
    """When its first line was written, in seconds since the Unix epoch."""
    last_s: float
    totals: CallTotals = field(default_factory=CallTotals)
    """Of its calls that have ended, by the rules of the ledger."""
    ended: int = 0
    """Records that have ended, other requests than model calls too."""
    last_seq: int = 0
    open: dict[str, float] = field(default_factory=dict[str, float])
    """Calls in flight, each with its start."""
    failed: int = 0
    is_estimated: bool = False
    sealed_s: float | None = None
    limits: CellLimits | None = None
    """What it may spend; None: not known."""
    bars: deque[tuple[int, int, bool]] = field(
        default_factory=lambda: deque[tuple[int, int, bool]](maxlen=_BARS)
    )
    """Start and length in ms, and success, of its last calls."""
    shown: dict[str, Any] | None = None
    """What `view` returned; None since it has changed."""

    @property
    def is_whole(self) -> bool:
        """Whether the board has seen it from its first call on."""
        return self.last_seq <= self.ended + len(self.open)

    def view(self) -> dict[str, Any]:
        """Return what is shown of it; made anew only after it has changed."""
        if self.shown is None:
            self.shown = _view(self)
        return self.shown


def shown_name(cell_id: str | None) -> str | None:
    """Return a cell's id as it is shown: printable, and of bounded length."""
    return None if cell_id is None else printable(cell_id)[:_NAME_CHARS]


def shown_sources(sources: Iterable[str]) -> dict[str, Any]:
    """Return the members that say where prices are from: the kind of the weakest, and all of them."""
    shown = sorted(printable(source) for source in sources)
    return {"price_kind": weakest_kind(shown), "price_sources": shown}


def _view(cell: BoardCell) -> dict[str, Any]:
    cost = cell.totals.cost
    is_priced = cell.totals.calls > cost.missing
    return {
        "cell_id": shown_name(cell.cell_id),
        "first_ms": round(1000 * cell.first_s),
        "sealed_ms": None if cell.sealed_s is None else round(1000 * cell.sealed_s),
        "calls": cell.totals.calls,
        "in_flight": len(cell.open),
        "failed": cell.failed,
        "tokens": cell.totals.tokens.total.known,
        "tokens_mark": _mark(cell),
        "cost_usd": f"{cost.known:f}" if is_priced else None,
        "cost_is_least": bool(cost.missing) or not cell.is_whole,
        **shown_sources(cost.price_sources),
        "budget": None if cell.limits is None else _budget(cell, cell.limits),
        "bars": list(cell.bars),
        "open_ms": [round(1000 * at_s) for at_s in islice(cell.open.values(), _BARS)],
    }


def _mark(cell: BoardCell) -> str:
    """Return who counted a cell's tokens; `at least` where some calls were not seen or not counted."""
    total = cell.totals.tokens.total
    if total.missing + total.least or not cell.is_whole:
        return "at least" if total.known else "not recorded"
    if not cell.ended:
        return "none yet"
    return "estimated" if cell.is_estimated else "measured"


def _budget(cell: BoardCell, key: CellLimits) -> dict[str, Any]:
    """Return the limits of a cell's key, each with what counts against it; None where that is not known."""
    totals, limits = cell.totals, key.limits
    if key.elsewhere is not None:
        totals = totals + key.elsewhere
    tokens, usd = spent_of(totals, key.on_unknown)[:2]
    no_price = bool(totals.cost.missing) and not totals.cost.priced
    spent: dict[str, tuple[object, object]] = {
        "calls": (limits.max_calls, totals.calls),
        "tokens": (limits.max_tokens, tokens if isinstance(tokens, int) else None),
        "cost_usd": (_text(limits.max_cost_usd), None if no_price else _text(usd)),
    }
    budget: dict[str, Any] = {
        name: {"limit": limit, "spent": amount if cell.is_whole else None}
        for name, (limit, amount) in spent.items()
        if limit is not None
    }
    for name, used in key.windows:
        limit = getattr(limits, name)
        most = _text(limit) if isinstance(limit, Decimal) else limit
        budget[name.removeprefix("max_")] = {"limit": most, "spent": used}
    return budget if key.expires_s is None else {**budget, "expires_ms": 1000 * key.expires_s}


def _text(usd: Decimal | None) -> str | None:
    return f"{usd:f}" if usd is not None and usd.is_finite() else None
