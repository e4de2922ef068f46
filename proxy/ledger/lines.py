"""Lines that every reader takes: what would be too long is left out, or the record is refused."""

from typing import Any

import orjson

from cab.proxy.ledger.chain import Chained, chained_line
from cab.proxy.ledger.scan import OPEN_CALLS
from cab.scoring.ledger.bounds import MAX_RECORD_BYTES
from cab.scoring.ledger.clipping import without_largest_value
from cab.scoring.ledger.records import SCHEMA, wrong_member

_BEGIN = b'{"schema":"%b"' % SCHEMA.encode()


class UnfitRecord(ValueError):
    """A record that no reader would take; says how it cannot be written, and why."""


def fitting_line(record: dict[str, Any], prev: str) -> Chained:
    """Return the line of a record, without its largest values if it would be too long.

    Args:
        record: The members of the line but `schema`, `prev` and `hash`, each within its bounds.
        prev: Hash of the line before.

    Raises:
        UnfitRecord: It cannot be written as JSON, has no valid place among calls and cells, or is too
            long whatever is left out.
    """
    if (wrong := wrong_member(record)) is not None:
        raise UnfitRecord(f"as a line: {wrong.name} is {wrong.reason}")
    fields: dict[str, Any] | None = record
    while fields is not None:
        try:
            members = orjson.dumps(fields)[1:-1]
            chained = chained_line(_BEGIN + (b"," + members if members else b""), prev)
        except orjson.JSONEncodeError as error:
            raise UnfitRecord(f"as JSON: {error}") from error
        if len(chained.line) <= MAX_RECORD_BYTES:
            return chained
        # Without the open calls, what looks for them begins at the segment before.
        fields = _without_open_calls(fields) or without_largest_value(fields)
    raise UnfitRecord(f"as a line: it is longer than {MAX_RECORD_BYTES} bytes")


def _without_open_calls(record: dict[str, Any]) -> dict[str, Any] | None:
    if OPEN_CALLS not in record:
        return None
    return {name: value for name, value in record.items() if name != OPEN_CALLS}
