"""Values that the readers share: what stands at a path of keys, money, and sums of what is known."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, TypeVar, cast

from pydantic import Field

from cab.scoring.errors import BadRecord
from cab.scoring.files import is_list, is_object
from cab.scoring.ledger.money import money

Number = TypeVar("Number", int, float)

Amount = Annotated[float, Field(ge=0)]
"""Money in US dollars, as JSON has it."""


def inner(data: Mapping[str, object], *keys: str) -> object:
    """Return the value at a path of keys, None where the path ends before."""
    found: object = data
    for key in keys:
        if not is_object(found):
            return None
        found = found.get(key)
    return found


def inner_text(data: Mapping[str, object], *keys: str) -> str | None:
    """Return the text at a path of keys, None where there is none."""
    found = inner(data, *keys)
    return found if isinstance(found, str) and found else None


def texts(data: object) -> bool:
    """Return whether parsed JSON is a list of texts."""
    return is_list(data) and all(isinstance(each, str) for each in data)


def usd(amount: float | None, path: Path, field: str) -> str | None:
    """Return an amount of money as decimal text, None if there is none.

    Raises:
        BadRecord: It is negative, or beyond any price.
    """
    if amount is None:
        return None
    text = str(amount)
    if money(text) is None:
        raise BadRecord(str(path), None, f"{text} is not an amount of US dollars", field=field)
    return f"{Decimal(text):f}"


def sum_known(parts: Sequence[Number | None]) -> Number | None:
    """Return the sum of the parts, None if one of them is not known."""
    known = [part for part in parts if part is not None]
    # A sum of integers is one, also that of none at all, which begins with the integer 0.
    return cast("Number", sum(known)) if len(known) == len(parts) else None
