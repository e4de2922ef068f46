"""Reading an error of pydantic: which field is wrong, and why."""

import re
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
    choices: tuple[str, ...] = ()
    """What may stand there, if it is one of several texts."""


def first_fault(error: ValidationError) -> FieldFault:
    """Return what is wrong first.

    A check of the data as a whole names its field with `name` in the context of its error.
    """
    found = error.errors(include_url=False, include_input=False)
    # A misspelt name often makes a required one missing too; the first says more.
    first = next((each for each in found if each["type"] == "extra_forbidden"), found[0])
    kind, context = first["type"], first.get("ctx", {})
    field = ".".join(map(str, first["loc"])) or str(context.get("name", ""))
    choices = re.findall(r"'(.*?)'", context["expected"]) if kind == "literal_error" else ()
    return FieldFault(field, kind, first["msg"].removeprefix("Value error, "), tuple(choices))
