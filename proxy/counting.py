"""Usage of a call: the endpoint's own figures, else a bounded count of ours, off the event loop."""

from cab.proxy.callrecord import CallFacts, Counted, Ending
from cab.proxy.meter import CallMeter, Outcome, Usage
from cab.scoring.records import METERED_ENDPOINTS

_NOTHING_WRITTEN = Usage(None, 0, None, None, None, None)
"""An error answer: no token was written, and what was read is the endpoint's secret."""


class Counter:
    """Decides what a call's usage is and who counted it."""

    async def count(
        self, facts: CallFacts, meter: CallMeter, outcome: Outcome, ending: Ending
    ) -> Counted:
        """Return the usage of an ended call."""
        if facts.endpoint not in METERED_ENDPOINTS:
            return Counted()
        if outcome.usage is not None:
            return Counted(outcome.usage, "upstream", outcome.usage_status)
        if facts.status is not None and facts.status >= 400:
            return Counted(_NOTHING_WRITTEN)
        return Counted()
