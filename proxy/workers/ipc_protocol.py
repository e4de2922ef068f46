"""Messages between workers and the parent, which keeps the cell registry, over a unix socket.

A message is its length, four bytes, and JSON. A worker sends `[number, operation, arguments]`, with
`null` as number where it wants no answer; an answer is `[number, result, null]`, or
`[number, null, [code, message]]` for an error.
"""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import orjson

from cab.proxy.accounting.admission import AdmissionRequest, CellSnapshot
from cab.proxy.accounting.limits import KeyLimits

_LENGTH_BYTES = 4
_END_MEMBERS = (
    "request_hash",
    "endpoint",
    "end_reason",
    "status",
    "prompt_tokens",
    "completion_tokens",
    "cost_usd",
)
"""The members of an END record that totals are made from."""


def packed(message: list[Any]) -> bytes:
    """Return the bytes of a message."""
    body = orjson.dumps(message)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


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


def pack_end(end: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the part of an END record that totals are made from."""
    return None if end is None else {name: end.get(name) for name in _END_MEMBERS}


def pack_totals(totals: CellSnapshot) -> list[Any]:
    """Return a cell's totals as JSON values."""
    return [str(value) if isinstance(value, Decimal) else value for value in totals]


def unpack_totals(values: list[Any]) -> CellSnapshot:
    """Return what `pack_totals` packed."""
    totals = CellSnapshot(*values)
    return totals._replace(cost_usd=Decimal(totals.cost_usd))
