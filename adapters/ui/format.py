"""Estimates as texts for tables: a value, its interval, or why there is none."""

from cab.scoring.analysis.aggregate import Aggregate
from cab.scoring.analysis.estimates import Figure
from cab.scoring.ledger.money import amount


def money_text(figure: Figure) -> str:
    """Return an amount of US dollars without its sign, or why there is none."""
    known = None if figure.value is None else amount(figure.value)
    return figure_text(figure, 1, 4) if known is None else known


def figure_text(figure: Figure, factor: float, digits: int, unit: str = "") -> str:
    """Return a figure, or why there is none.

    Args:
        figure: The figure.
        factor: What it is multiplied by: 100 for per cent.
        digits: Digits after the point.
        unit: Stands behind it.
    """
    if figure.value is not None:
        return f"{figure.value * factor:,.{digits}f}{unit}"
    if figure.coverage is not None and figure.coverage < 1:
        return f"{figure.coverage:.0%} known"
    return figure.reason or "none"


def dollars_per_pass(group: Aggregate) -> str:
    """Return what a pass of a group cost in US dollars, and by whose prices if not the endpoint's."""
    text = money_text(group.cost_usd_per_pass)
    is_sum = group.cost_usd_per_pass.value is not None
    return f"{text}{by_kind(group.price_kind)}" if is_sum else text


def by_kind(kind: str | None) -> str:
    """Return what stands behind an amount of money: by whose prices it is, if not by the endpoint's."""
    return f" by {kind}" if kind in _BY else ""


UNKNOWN_USD = "not known"
"""Stands for a cost of which a part has no price."""
_BY = ("table", "genai-prices", "unknown")


def interval_text(figure: Figure, factor: float, digits: int, unit: str = "") -> str:
    """Return a figure and its interval, if it has one; arguments as for `figure_text`."""
    text = figure_text(figure, factor, digits, unit)
    if figure.value is None or figure.low is None:
        return text
    low, high = (
        "" if end is None else f"{end * factor:,.{digits}f}" for end in (figure.low, figure.high)
    )
    return f"{text} ({low} {f'to {high}' if high else 'and up'})"


def seconds_text(figure: Figure) -> str:
    """Return a quantile of durations, which is stored in ms, in s."""
    if figure.value is None and figure.low is not None:
        return f"over {figure.low / 1000:,.2f}"
    return figure_text(figure, 0.001, 2)


def clock_text(duration_s: float) -> str:
    """Return a duration as minutes and seconds, with hours if there are any: 1:02:03."""
    minutes, seconds = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
