"""The members of a call as columns of a table: their kinds, and their values for each kind."""

from collections.abc import Sequence
from types import NoneType
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import orjson
from pydantic import BaseModel

from cab.scoring.errors import BadRecord
from cab.scoring.ledger.reading import Found
from cab.scoring.ledger.records import CallEnd
from cab.scoring.timestamps import instant_us

CallColumnKind = Literal["text", "integer", "real", "boolean", "instant", "json"]

_NO_COLUMN = frozenset({"record_schema", "kind", "prev", "error"})
_INSTANTS = frozenset({"started_at", "ended_at"})
_ERROR = ("error_type", "error_message")


class CallColumn(NamedTuple):
    """One column."""

    name: str
    kind: CallColumnKind


def _kind(name: str, annotation: Any) -> CallColumnKind:  # noqa: ANN401 - whatever a model is annotated with
    if name in _INSTANTS:
        return "instant"
    parts = [part for part in get_args(annotation) if part is not NoneType] or [annotation]
    if get_origin(annotation) is Literal:
        return "text"
    bases = {get_args(part)[0] if get_origin(part) is Annotated else part for part in parts}
    if bases == {bool}:
        return "boolean"
    if bases == {int}:
        return "integer"
    if float in bases:
        return "real"  # prices may be texts: a decimal is added up as a number here
    return "text" if all(base is str or get_origin(base) is Literal for base in bases) else "json"


def _columns() -> tuple[CallColumn, ...]:
    fields = CallEnd.model_fields.items()
    own = [
        CallColumn(name, _kind(name, f.annotation)) for name, f in fields if name not in _NO_COLUMN
    ]
    return (*own, *(CallColumn(name, "text") for name in _ERROR))


COLUMNS: Sequence[CallColumn] = _columns()
"""All columns, with `call_id`; a field that this version does not know has none."""


def values_of(found: Found) -> list[Any]:
    """Return a call's values in the order of the columns; instants as they are recorded.

    Raises:
        BadRecord: A member is missing or of the wrong type, or a price is not a number.
    """
    record = found.record()
    error = getattr(record, "error", None)
    texts = {"error_type": error.type, "error_message": error.message} if error else {}
    return [
        texts.get(column.name)
        if column.name in _ERROR
        else _value(column, getattr(record, column.name), found)
        for column in COLUMNS
    ]


def instant_of(text: str, found: Found) -> int:
    """Return an instant in microseconds since 1970.

    Raises:
        BadRecord: It is not an instant.
    """
    try:
        return instant_us(text)
    except ValueError as error:
        raise BadRecord(str(found.path), found.number, str(error)) from error


def _value(column: CallColumn, value: Any, found: Found) -> Any:  # noqa: ANN401 - what a record holds
    if value is None:
        return None
    if column.kind == "json":
        return orjson.dumps(value, default=_members).decode()
    if column.kind == "real":
        try:
            return float(value)
        except ValueError as error:
            raise BadRecord(
                str(found.path), found.number, "is not a number", column.name
            ) from error
    return value


def _members(value: BaseModel) -> dict[str, Any]:
    return value.model_dump()
