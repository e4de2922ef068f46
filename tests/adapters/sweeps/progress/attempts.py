"""Attempts of a sweep, as they start and end."""

from cab.adapters.sweeps.journal import AttemptOutcome, Begin, End
from tests.adapters.sweeps.spend import spend

CELL = "s/a/m/f/t#run1"
SPEND = spend(calls=3, tokens=1200, usd="0.25")


def end(verdict: AttemptOutcome = "complete", **fields: object) -> End:
    """Return how an attempt ended."""
    least = {"slot": CELL, "cell_id": CELL, "verdict": verdict, "passed": True, "calls": 3}
    return End.model_validate({**least, "tokens": 1200, **fields})


def begin(slot: str = CELL) -> Begin:
    """Return how an attempt started."""
    return Begin(slot=slot, cell_id=CELL)
