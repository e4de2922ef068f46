"""Messages between workers and the parent, which keeps the cell registry, over a unix socket.

A message is its length, four bytes, and JSON. Both send `[number, operation, arguments]`, with `null` as
number where they want no answer, as the parent always does; an answer is `[number, result, null]`, or
`[number, null, [code, message, queued_ms, retry_after_s]]` for an error.
"""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import orjson
from pydantic import TypeAdapter

from cab.proxy.accounting.admission import AdmissionRequest, CellLimits, CellSnapshot
from cab.proxy.accounting.cell_report import PackedReport
from cab.proxy.accounting.limits import KeyLimits
from cab.scoring.ledger.totals import CallTotals

MOST_UNREAD_BYTES = 64 << 20
"""What may wait for the other side to read it; a page of cells is some MB. One that reads nothing hangs."""
_LENGTH_BYTES = 4
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
    return [*request[:-2], request.limits.claims(), request.expires_s]


def unpack_admission_request(values: list[Any]) -> AdmissionRequest:
    """Return what `pack_admission_request` packed."""
    claims, expires_s = values[-2:]
    limits = KeyLimits.from_claims(claims)
    return AdmissionRequest(*values[:-2])._replace(limits=limits, expires_s=expires_s)


def unpack_report(values: list[Any]) -> PackedReport:
    """Return a report that a worker has packed."""
    report = PackedReport(*values)
    return report._replace(totals=_TOTALS.validate_python(report.totals))


def pack_totals(cell: CellSnapshot) -> list[Any]:
    """Return a cell's state as JSON values."""
    return list(cell)


def unpack_totals(values: list[Any]) -> CellSnapshot:
    """Return what `pack_totals` packed."""
    cell_id, sealed, in_flight, totals = values
    return CellSnapshot(cell_id, sealed, in_flight, _TOTALS.validate_python(totals))


def pack_limits(cell: CellLimits | None) -> list[Any] | None:
    """Return what a cell may spend as JSON values."""
    return None if cell is None else [cell.limits.claims(), *cell[1:]]


def unpack_limits(values: list[Any] | None) -> CellLimits | None:
    """Return what `pack_limits` packed."""
    if values is None:
        return None
    claims, expires_s, on_unknown, totals, windows = values
    elsewhere = None if totals is None else _TOTALS.validate_python(totals)
    used = tuple((name, amount) for name, amount in windows)
    return CellLimits(KeyLimits.from_claims(claims), expires_s, on_unknown, elsewhere, used)
