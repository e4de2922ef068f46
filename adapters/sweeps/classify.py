"""Whether an attempt is a result: only what the agent did itself is."""

from typing import NamedTuple

from cab.adapters.sweeps.budget import has_reached
from cab.adapters.sweeps.executor import CellOutcome
from cab.adapters.sweeps.journal import AttemptOutcome
from cab.proxy.accounting.limits import KeyLimits
from cab.scoring.ledger.totals import CallTotals

PASSING = frozenset({"crash", "endpoint", "network", "rate_limited", "unfinished"})
"""Classes of failed calls that may be over the next time; a refused request (a wrong key, a model that
is not there) comes back."""


class Classification(NamedTuple):
    """A verdict, and why it is not `complete`."""

    verdict: AttemptOutcome
    reason: str | None = None


def classify(
    outcome: CellOutcome, spend: CallTotals, own: KeyLimits, given: KeyLimits | None
) -> Classification:
    """Return what an attempt is worth.

    Args:
        outcome: How it ended.
        spend: What its calls came to.
        own: What the cell was allowed.
        given: What its key allowed: less than that, where the sweep's budget was nearly spent. None
            if that is not known any more.
    """
    if outcome.state == "stopped":
        return Classification("stopped", outcome.reason)
    if outcome.state == "failed":
        return Classification("infrastructure", outcome.reason)
    by_key = given is None or has_reached(given, spend)
    if outcome.rejected and by_key and not has_reached(own, spend):
        return Classification("budget", "what was left of the sweep's budget did not do for it")
    # Told apart from an agent that made no call at all: nothing failed there.
    failed = {name: n for name, n in outcome.failures.items() if name in PASSING and n}
    if outcome.succeeded == 0 and failed:
        text = ", ".join(f"{name} {n}" for name, n in sorted(failed.items()))
        return Classification("infrastructure", f"no model call succeeded: {text}")
    return Classification("complete")
