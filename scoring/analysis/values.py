"""Values of other people's data, checked: what each kind of field takes, and what it refuses.

numpy's scalars count as what they hold. Nothing is guessed: a text is no number and no verdict.
"""

from decimal import Decimal
from typing import Any

from cab.scoring.ledger.money import money
from cab.scoring.timestamps import LONGEST_MS

MOST = 2**63 - 1
"""The largest count; more is not a count, and does not fit into what others read."""


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever a table holds
    """Return a scalar of numpy as what it holds; anything else as it is."""
    if type(value).__module__.partition(".")[0] == "numpy" and getattr(value, "ndim", None) == 0:
        return value.item()
    return value


def is_missing(value: object) -> bool:
    """Return whether a value is a mark for none: None, NaN, or pandas' `NA` and `NaT`."""
    value = plain(value)
    kind = type(value)
    if kind.__module__.partition(".")[0] == "pandas" and kind.__name__ in {"NAType", "NaTType"}:
        return True
    return value is None or (isinstance(value, float) and value != value)  # noqa: PLR0124 - NaN


def verdict(value: object) -> bool | None:
    """Return a verdict: true or false, also as 1 or 0.

    Raises:
        ValueError: It is something else.
    """
    value = plain(value)
    if value is None:
        return None
    if not isinstance(value, int | float) or value not in (0, 1):
        raise ValueError(f"is {_shown(value)}, which is not a verdict: True, False or None")
    return bool(value)


def flag(value: object) -> bool:
    """Return whether something is so; not known is false.

    Raises:
        ValueError: It is neither true nor false.
    """
    try:
        return verdict(value) is True
    except ValueError:
        raise ValueError(f"is {_shown(plain(value))}, which is neither True nor False") from None


def count(value: object) -> int | None:
    """Return a count, a whole number from 0 on; `120.0` is one, as tables with gaps hold floats.

    Raises:
        ValueError: It is something else.
    """
    number = measure(value, MOST)
    if isinstance(number, float):
        if not number.is_integer():
            raise ValueError(f"is {number!r}, which is not a count")
        return int(number)
    return number


def measure(value: object, most: float = LONGEST_MS) -> int | float | None:
    """Return a measurement, a finite number from 0 to `most`.

    Raises:
        ValueError: It is something else.
    """
    value = plain(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise ValueError(f"is {_shown(value)}, which is not a measurement from 0 to {most:,}")
    return value


def amount(value: object) -> Decimal | None:
    """Return an amount of US dollars, from a number or from decimal text.

    Raises:
        ValueError: It is something else.
    """
    value = plain(value)
    if value is None:
        return None
    found = None
    if isinstance(value, int) and not isinstance(value, bool):
        found = money(str(value)) if abs(value) <= MOST else None
    elif isinstance(value, str | float | Decimal):
        found = money(str(value))
    if found is None:
        raise ValueError(f"is {_shown(value)}, which is not an amount of money")
    return found


def _shown(value: object) -> str:
    """Return a value for an error, cut where it is long."""
    is_short = isinstance(value, str | float | Decimal | None) or (
        isinstance(value, int) and abs(value) <= MOST
    )
    text = repr(value) if is_short else ""
    return text if 0 < len(text) <= 40 else f"of type {type(value).__name__}"
