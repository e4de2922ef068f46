"""Numbers as texts: digits in groups, units with a narrow space, None where nothing is known."""

from decimal import Decimal

SPACE = "\u202f"
"""Between a number and its unit: narrow, and no line breaks there."""


def integer(number: float | None) -> str | None:
    """Return a whole number, such as `6,647`."""
    return None if number is None else f"{number:,.0f}"


def duration(ms: float | None) -> str | None:
    """Return milliseconds as a person reads them: `0.02 ms`, `906 ms`, `8.85 s`, `203.1 s`."""
    if ms is None:
        return None
    if ms < 10:
        return f"{ms:.2f}".rstrip("0").rstrip(".") + f"{SPACE}ms"
    if ms < 1000:
        return f"{ms:.0f}{SPACE}ms"
    return f"{ms / 1000:,.{2 if ms < 60_000 else 1}f}{SPACE}s"


def ratio(value: float | None, digits: int = 3) -> str | None:
    """Return a number from 0 to 1, such as `0.897`."""
    return None if value is None else f"{value:.{digits}f}"


def percent(share: float | None, digits: int = 0) -> str | None:
    """Return a share as per cent, such as `63 %`."""
    return None if share is None else f"{100 * share:.{digits}f}{SPACE}%"


def compact(value: float) -> str:
    """Return a value of an axis in few characters: `20`, `1.5k`, `10M`, `0.00002`."""
    size, letter = next(each for each in _SIZES if value >= each[0] or each[0] == 1)
    return f"{Decimal(f'{value / size:.4g}').normalize():f}{letter}"


_SIZES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""))
