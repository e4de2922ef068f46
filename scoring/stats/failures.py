"""Pass rates where the infrastructure failed too: with those cells, and without."""

from typing import NamedTuple

from cab.scoring.introspection.field_texts import with_field_texts
from cab.scoring.stats.interval import DEFAULT_CONFIDENCE, Interval
from cab.scoring.stats.wilson import wilson_interval


@with_field_texts
class Rate(NamedTuple):
    """A pass rate; both None without cells to divide by."""

    value: float | None
    """Passed over all that count."""
    interval: Interval | None
    """Wilson's."""


@with_field_texts
class BothRates(NamedTuple):
    """The pass rate under both readings of a cell that the infrastructure failed."""

    without: Rate
    """Such cells do not count: they say nothing about the agent."""
    within: Rate
    """Such cells count as not passed: what a user of it all would have got."""


def both_rates(
    passed: int, failed: int, infrastructure: int, confidence: float = DEFAULT_CONFIDENCE
) -> BothRates:
    """Return passed / (passed + failed), and passed / (passed + failed + infrastructure).

    Args:
        passed: Cells that passed.
        failed: Cells that the agent failed.
        infrastructure: Cells whose outcome says nothing about the agent.
        confidence: Between 0 and 1.

    Raises:
        ValueError: A count is negative, or the confidence out of range.

    Source:
        CAB's own definition, `docs/statistics.md`.
    """
    if min(passed, failed, infrastructure) < 0:
        raise ValueError(f"{passed} passed, {failed} failed, {infrastructure} neither")
    decided = passed + failed
    return BothRates(
        _rate(passed, decided, confidence), _rate(passed, decided + infrastructure, confidence)
    )


def _rate(passed: int, cells: int, confidence: float) -> Rate:
    if not cells:
        return Rate(None, None)
    return Rate(passed / cells, wilson_interval(passed, cells, confidence))
