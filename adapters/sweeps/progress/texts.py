"""Attempts and what was spent, as lines for people."""

from cab.adapters.sweeps.journal import End
from cab.adapters.sweeps.state import FAILED
from cab.adapters.ui.format import by_kind
from cab.scoring.ledger.money import dollars
from cab.scoring.ledger.totals import CallTotals
from cab.scoring.prices.sources import weakest_kind
from cab.scoring.printable import counted


def line_of(end: End, duration_s: float) -> str:
    """Return one finished attempt as a line."""
    if end.verdict != "complete":
        return f"{end.cell_id}: no result, {end.verdict}: {end.reason}"
    verdict = {True: "passed", False: "did not pass", None: "no verdict"}[end.passed]
    calls = "calls not known" if end.calls is None else counted(end.calls, "call")
    tokens = "tokens not known" if end.tokens is None else f"{end.tokens:,} tokens"
    return f"{end.cell_id}: {verdict}, {calls}, {tokens}, {duration_s:.1f} s"


def recovered_line(end: End) -> str:
    """Return one attempt that a killed sweep left, and that has no result, as a line."""
    moved = f"; its bundle is moved to {FAILED}/" if end.bundle else ""
    return f"{end.cell_id}: {end.reason}{moved}"


def spend_text(spend: CallTotals) -> str:
    """Return what was spent, for people; what is not known is said."""
    tokens, cost = spend.tokens.total, spend.cost
    most = "" if tokens.upper is None else f", at most {tokens.upper:,}"
    uncounted = f" ({counted(tokens.missing, 'call')} not counted{most})" if tokens.missing else ""
    parts = [counted(spend.calls, "call"), f"{tokens.known:,} tokens{uncounted}"]
    if cost.known or not cost.missing:
        by = by_kind(weakest_kind(cost.price_sources))
        unpriced = f" ({counted(cost.missing, 'call')} without a price)" if cost.missing else ""
        parts.append(f"{dollars(cost.known)}{by}{unpriced}")
    return ", ".join(parts)
