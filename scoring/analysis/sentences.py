"""A comparison as a person would say it."""

from typing import NamedTuple

from cab.scoring.analysis.compare import Comparison, Metric
from cab.scoring.ledger.money import amount
from cab.scoring.printable import counted


class Unit(NamedTuple):
    """How a metric is read."""

    noun: str
    """What the mean per cell is called."""
    factor: float
    """From the stored unit to the one that is read."""
    unit: str
    """Unit of a mean; `$` stands before the number, all others behind it."""
    suffix: str
    """Unit of a mean, behind its number."""
    of_difference: str
    """Unit of a difference, behind its number."""
    digits: int
    """After the point; amounts of money have as many as they need."""


UNITS: dict[Metric, Unit] = {
    "pass_rate": Unit("pass rate", 100, "%", "%", " points", 1),
    "composite": Unit("composite", 1, "", "", "", 3),
    "total_tokens": Unit("tokens per cell", 1, "", "", "", 0),
    "model_calls": Unit("model calls per cell", 1, "", "", "", 1),
    "cost_usd": Unit("cost per cell", 1, "$", "", "", 4),
    "wall_clock_ms": Unit("wall clock per cell", 0.001, "s", " s", " s", 2),
    "blast_radius": Unit("blast radius", 1, "", "", "", 3),
}
"""Metric -> how it is read."""

_ALPHA = 0.05


def reading(metric: Metric, value: float | None, *, difference: bool = False) -> str:
    """Return a mean, or a difference with its sign, with the unit that it is read in."""
    if value is None:
        return "none"
    unit = UNITS[metric]
    number = bare_reading(metric, value, difference=difference)
    if unit.unit == "$":
        sign = number[: len(number) - len(number.lstrip("+-"))]
        return f"{sign}${number.removeprefix(sign)}"
    return f"{number}{unit.of_difference if difference else unit.suffix}"


def bare_reading(metric: Metric, value: float | None, *, difference: bool = False) -> str:
    """Return the same without the unit."""
    if value is None:
        return "none"
    unit = UNITS[metric]
    plus = "+" if difference else ""
    known = amount(abs(value)) if unit.unit == "$" else None
    if known is not None:
        return f"{'-' if value < 0 else plus}{known}"
    return f"{value * unit.factor:{plus}z,.{unit.digits}f}"


def sentence(found: Comparison) -> str:
    """Return effect, interval and p, and what the cells could have resolved."""
    noun = UNITS[found.metric].noun
    if found.difference is None:
        return f"{noun}: nothing can be concluded: {found.reason}."
    change = reading(found.metric, found.difference, difference=True)
    return (
        f"{noun}: {_means(found)}, a difference of {change}{_doubt(found)}; {_resolution(found)}."
    )


def _means(found: Comparison) -> str:
    """Return the means of both sides; both kinds, with their names, where they are not the same."""
    of_tasks = (found.task_weighted_a, found.task_weighted_b)
    of_runs = (found.run_weighted_a, found.run_weighted_b)
    a, b = (reading(found.metric, mean) for mean in of_tasks)
    run_a, run_b = (reading(found.metric, mean) for mean in of_runs)
    text = f"{found.a} {a} against {found.b} {b}"
    same = (a, b) == (run_a, run_b)
    return text if same else f"{text} task-weighted ({run_a} against {run_b} run-weighted)"


def _doubt(found: Comparison) -> str:
    if found.p is None:
        return ""
    if found.low is None:
        interval = ""
    else:
        low, high = (reading(found.metric, end, difference=True) for end in (found.low, found.high))
        low = low.removesuffix(UNITS[found.metric].of_difference)
        interval = f"{found.confidence:.0%} interval {low} to {high}, "
    several = found.p_holm is not None and found.p_holm != found.p
    holm = f", {found.p_holm:.2g} after Holm" if several else ""
    return f" ({interval}p = {found.p:.2g}{holm})"


def _resolution(found: Comparison) -> str:
    """Return which difference the cells could have shown."""
    tasks = counted(found.tasks, "task")
    if found.p is None or found.smallest_p is None:
        return f"with {tasks} in common no difference can be distinguished from chance"
    if found.smallest_p > _ALPHA:
        return (
            f"with {tasks} p cannot fall below {found.smallest_p:.2g}, "
            "so that no difference could have been distinguished from chance"
        )
    if found.detectable_reason == "no_spread":
        return f"all pairs differ by the same amount, so that {tasks} do not show what could have been resolved"
    if found.detectable is None:
        whole = reading(found.metric, 1, difference=True).removeprefix("+")
        return f"{tasks} do not resolve even a difference of {whole} at {found.power:.0%} power"
    size = reading(found.metric, found.detectable, difference=True).removeprefix("+")
    return f"{tasks} resolve a difference of {size} or more at {found.power:.0%} power"
