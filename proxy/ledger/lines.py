"""Lines that every reader takes: what would be too long is left out, or the record is refused."""

from typing import Any, NamedTuple

import orjson

from cab.proxy.ledger.chain import Chained, chained_line
from cab.proxy.ledger.scan import OPEN_CALLS
from cab.scoring.ledger.bounds import MAX_RECORD_BYTES
from cab.scoring.ledger.clipping import without_largest_value
from cab.scoring.ledger.records import SCHEMA, wrong_member

_BEGIN = b'{"schema":"%b"' % SCHEMA.encode()
_SURELY_FITS_BYTES = MAX_RECORD_BYTES // 2
"""Members of such a size fit into a line, whatever stands around them."""


class EncodedRecord(NamedTuple):
    """A record that is JSON already, because its values are known to fit."""

    body: bytes
    """Its line up to the member before `prev`."""
    record: dict[str, Any]
    """The same as a dict."""


Entry = dict[str, Any] | EncodedRecord
"""A record to be written."""


def record_of(entry: Entry) -> dict[str, Any]:
    """Return the members of a record, whatever form it has."""
    return entry.record if isinstance(entry, EncodedRecord) else entry


def encoded(record: dict[str, Any]) -> Entry:
    """Return a record of a call in the form that is written fastest.

    Args:
        record: As for `fitting_line`, which makes the same line of it; its place among calls and cells
            is valid.
    """
    try:
        members = orjson.dumps(record)
    except orjson.JSONEncodeError:
        return record  # who writes it says why
    if len(members) > _SURELY_FITS_BYTES:
        return record
    return EncodedRecord(b"%b,%b" % (_BEGIN, members[1:-1]), record)


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
