"""Reading an error of pydantic: which field is wrong, and why."""

from typing import NamedTuple

from pydantic import ValidationError


class FieldFault(NamedTuple):
    """The first thing that is wrong with some data."""

    field: str
    """Where it stands, its names and indices joined by dots; empty if it is the data as a whole."""
    kind: str
    """Pydantic's name for the fault, such as `missing` or `extra_forbidden`."""
    message: str
    """One line for a person; it never repeats the value, which may be a secret."""


def first_fault(error: ValidationError) -> FieldFault:
    """Return what is wrong first."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    return FieldFault(field, first["type"], first["msg"].removeprefix("Value error, "))
