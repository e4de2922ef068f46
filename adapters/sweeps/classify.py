"""Decides whether an attempt is a result: only what the agent did itself is one."""

from typing import NamedTuple

from cab.adapters.sweeps.budget import has_reached
from cab.adapters.sweeps.executors.protocol import CellOutcome
from cab.adapters.sweeps.journal import AttemptOutcome
from cab.proxy.accounting.limits import KeyLimits
from cab.scoring.ledger.totals import CallTotals

TRANSIENT = frozenset({"crash", "endpoint", "network", "rate_limited", "unfinished"})
"""Classes of failed calls that may succeed the next time; a refused request (a wrong key, an unknown
model) would be refused again."""


class Classification(NamedTuple):
    """A verdict, and why it is not `complete`."""

    verdict: AttemptOutcome
    reason: str | None = None


def classify(
    outcome: CellOutcome, spend: CallTotals, cell_limits: KeyLimits, key_limits: KeyLimits | None
) -> Classification:
    """Return the verdict on an attempt.

    Args:
        outcome: How it ended.
        spend: What its calls came to.
        cell_limits: What the sweep file allows each cell.
        key_limits: What the cell's key allowed: less than that, where the sweep's budget was nearly
            spent. None if that is not known any more.
    """
    if outcome.state == "stopped":
        return Classification("stopped", outcome.reason)
    if outcome.state == "failed":
        return Classification("infrastructure", outcome.reason)
    by_key = key_limits is None or has_reached(key_limits, spend)
    if outcome.rejected and by_key and not has_reached(cell_limits, spend):
        return Classification("budget", "the rest of the sweep's budget was not enough for it")
    # An agent that made no call at all is another case: nothing failed there.
    failed = {name: n for name, n in outcome.failures.items() if name in TRANSIENT and n}
    if outcome.succeeded == 0 and failed:
        text = ", ".join(f"{name} {n}" for name, n in sorted(failed.items()))
        return Classification("infrastructure", f"no model call succeeded: {text}")
    return Classification("complete")
