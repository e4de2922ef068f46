"""Pareto front: which agents are not beaten in both cost and pass rate."""

from collections.abc import Iterable
from typing import NamedTuple

from cab.scoring.introspection.field_texts import with_field_texts


@with_field_texts
class Offer(NamedTuple):
    """What one agent gives for what it takes."""

    name: str
    """Which agent."""
    cost: float | None
    """Less is better; None where the price is not known, which is not 0."""
    pass_rate: float | None
    """More is better; None where nothing was checked."""


@with_field_texts
class Pareto(NamedTuple):
    """The offers, each in one of three lists, in the order of cost, then name."""

    front: list[Offer]
    """No other is at least as good in both and better in one."""
    dominated: list[Offer]
    """Some other is."""
    unknown: list[Offer]
    """Cost or pass rate is not known; in the order of names."""


def pareto_front(offers: Iterable[Offer]) -> Pareto:
    """Return which offers are on the front of cost against pass rate.

    Sorted by rising cost, an offer is on the front if no cheaper one passes as much, and no equally
    dear one passes more. Equal offers are on it together.

    Args:
        offers: Cost in any one unit, pass rate from 0 to 1; in any order.

    Source:
        Kung, Luccio and Preparata 1975, J. ACM 22, 469-476.
    """
    result = Pareto([], [], [])
    known: list[tuple[float, float, str, Offer]] = []
    for offer in offers:
        if offer.cost is None or offer.pass_rate is None:
            result.unknown.append(offer)
        else:
            known.append((offer.cost, -offer.pass_rate, offer.name, offer))
    result.unknown.sort(key=lambda offer: offer.name)
    best: tuple[float, float] | None = None
    for cost, negated, _, offer in sorted(known):
        if best is None or negated < best[1] or (cost, negated) == best:
            best = (cost, negated)
            result.front.append(offer)
        else:
            result.dominated.append(offer)
    return result
