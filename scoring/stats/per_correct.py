"""Amounts per correct task: tokens per correct, and the cost of a pass."""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from cab.scoring.introspection.field_texts import with_field_texts


@with_field_texts
class PerCorrect(NamedTuple):
    """What one pass cost, failures paid for."""

    value: float | None
    """Amount per pass; None while an amount is missing, or where nothing passed."""
    coverage: float | None
    """Share of the attempts whose amount is known; None without attempts."""
    known: Fraction
    """Exact sum of the amounts that are known."""
    correct: int
    """Attempts that passed."""
    attempts: int
    """All attempts."""


def per_correct(attempts: Iterable[tuple[float | Decimal | None, bool]]) -> PerCorrect:
    """Return the sum over all attempts, failures included, per attempt that passed.

    sum(amount) / number passed. Sums are exact, so that the order of the attempts does not matter.

    Args:
        attempts: Each with its amount (tokens, dollars: >= 0; None where it is not known) and
            whether it passed.

    Raises:
        ValueError: An amount is negative.

    Source:
        CAB's own definition, `docs/statistics.md`: a failure's tokens are spent all the same.
    """
    known, missing, correct, count = Fraction(0), 0, 0, 0
    for amount, passed in attempts:
        count += 1
        correct += passed
        if amount is None:
            missing += 1
        elif amount < 0:
            raise ValueError(f"an attempt took {amount}; amounts are not negative")
        else:
            known += Fraction(amount)
    return PerCorrect(
        value=None if missing or not correct else float(known / correct),
        coverage=(count - missing) / count if count else None,
        known=known,
        correct=correct,
        attempts=count,
    )
