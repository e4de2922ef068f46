"""What is wrong with data: which field pydantic refuses, and which member of JSON is there twice."""

import json
import re
from typing import NamedTuple

import orjson
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


def repeated_member(text: bytes, data: object) -> str | None:
    """Return what is wrong with a JSON text in which an object has a member twice; None if none has.

    Readers differ about which of the two counts.

    Args:
        text: JSON.
        data: What it holds, as orjson reads it.
    """
    # Written again, such a text is shorter. What somebody else laid out is read a second time.
    text = text.rstrip()
    if text == orjson.dumps(data) or text == orjson.dumps(data, option=orjson.OPT_INDENT_2):
        return None
    found: list[str] = []

    def note(pairs: list[tuple[str, object]]) -> None:
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                found.append(f"the member {name!r} is there twice")
            seen.add(name)

    try:
        json.loads(text.decode(), object_pairs_hook=note, parse_int=str, parse_float=str)
    except RecursionError:
        return "is nested too deeply to be checked"
    return found[0] if found else None
