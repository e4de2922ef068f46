"""Messages between workers and the parent, which keeps the cell registry, over a unix socket.

A message is its length, four bytes, and JSON. A worker sends `[number, operation, arguments]`, with
`null` as number where it wants no answer; an answer is `[number, result, null]`, or
`[number, null, [code, message, queued_ms]]` for an error.
"""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import orjson
from pydantic import TypeAdapter

from cab.proxy.accounting.admission import AdmissionRequest, CellSnapshot
from cab.proxy.accounting.limits import KeyLimits
from cab.scoring.ledger.totals import CALL_MEMBERS, CallTotals

_LENGTH_BYTES = 4
_END_MEMBERS = ("request_hash", *CALL_MEMBERS)
"""The members of an END record that a cell's state is made from."""
_TOTALS = TypeAdapter(CallTotals)


def packed(message: list[Any]) -> bytes:
    """Return the bytes of a message."""
    body = orjson.dumps(message, default=_decimal_text)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def _decimal_text(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(type(value).__name__)


async def messages(reader: asyncio.StreamReader) -> AsyncIterator[list[Any]]:
    """Yield messages until the other side is gone."""
    try:
        while True:
            length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
            yield orjson.loads(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return


def pack_admission_request(request: AdmissionRequest) -> list[Any]:
    """Return a call that wants to be made as JSON values."""
    return [*request[:-1], request.limits.claims()]


def unpack_admission_request(values: list[Any]) -> AdmissionRequest:
    """Return what `pack_admission_request` packed."""
    return AdmissionRequest(*values[:-1])._replace(limits=KeyLimits.from_claims(values[-1]))


def pack_end(end: dict[str, Any] | None) -> list[Any] | None:
    """Return the part of an END record that a cell's state is made from, without the names."""
    return None if end is None else [end.get(name) for name in _END_MEMBERS]


def unpack_end(values: list[Any] | None) -> dict[str, Any] | None:
    """Return what `pack_end` packed."""
    return None if values is None else dict(zip(_END_MEMBERS, values, strict=True))


def pack_totals(cell: CellSnapshot) -> list[Any]:
    """Return a cell's state as JSON values."""
    return list(cell)


def unpack_totals(values: list[Any]) -> CellSnapshot:
    """Return what `pack_totals` packed."""
    cell_id, sealed, in_flight, totals = values
    return CellSnapshot(cell_id, sealed, in_flight, _TOTALS.validate_python(totals))
