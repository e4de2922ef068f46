"""The control API `/cab/...`: health, a cell's calls, the seal. It never leaves the proxy."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import unquote

import orjson
from aiohttp import web

from cab.proxy.book import Book, CellTotals
from cab.proxy.cells import cell_lines, slice_digest
from cab.proxy.clock import Clock, rfc3339
from cab.proxy.errors import BadKey, Rejected
from cab.proxy.identity import Identifier, Target
from cab.proxy.ledger import Ledger
from cab.proxy.refusal import Refusal, body_for, headers_for, refusal_of

_SEAL_WAIT_S = 30.0
"""How long a seal waits for calls in flight."""
_BATCH_LINES = 512

Answer = tuple[int, dict[str, Any]]


class Control:
    """Answers the control API.

    Args:
        book: State of all cells.
        ledger: Takes the seals.
        identifier: Tells whose key a request holds.
        clock: Stamps the seals.
        stopping: Whether the proxy takes no new calls.
    """

    def __init__(
        self,
        book: Book,
        ledger: Ledger,
        identifier: Identifier,
        clock: Clock,
        stopping: Callable[[], bool],
    ) -> None:
        self._book = book
        self._ledger = ledger
        self._identifier = identifier
        self._clock = clock
        self._stopping = stopping

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        path = request.raw_path.partition("?")[0]
        if path == "/cab/health" and request.method in {"GET", "HEAD"}:
            return await self._health()
        parts = path.removeprefix("/cab/cells/").rpartition("/")
        if not path.startswith("/cab/cells/") or not parts[0]:
            return refuse(Refusal(404, "not_found", f"no {path} here; see docs/control-api.md"))
        cell_id, what = unquote(parts[0]), parts[2]
        try:
            self._authorise(request, cell_id)
        except BadKey as error:
            return refuse(Refusal(401, "invalid_api_key", str(error)))
        match request.method, what:
            case "GET", "calls":
                return await self._calls(request, cell_id)
            case "POST", "seal":
                return await self._seal(cell_id)
            case _:
                return refuse(Refusal(404, "not_found", f"no {request.method} {what} of a cell"))

    def _authorise(self, request: web.BaseRequest, cell_id: str) -> None:
        now_s = self._clock.wall_ns() // 1_000_000_000
        caller = self._identifier.identify(request.headers, Target("", None), now_s)
        if caller.foreign_key is not None or caller.cell_id != cell_id:
            raise BadKey(f"send the key of cell {cell_id} as the bearer token")

    async def _health(self) -> web.Response:
        ready = self._ledger.refusal is None and not self._stopping()
        body = {
            "live": True,
            "ready": ready,
            "calls_in_flight": await self._book.in_flight(),
            "ledger_failure": self._ledger.failure,
            "ledger_unwritten_records": self._ledger.unwritten_records,
            "ledger_lost_records": self._ledger.lost_records,
        }
        return answer(200 if ready else 503, body)

    async def _calls(self, request: web.BaseRequest, cell_id: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        lines = cell_lines(self._ledger.folder, cell_id)
        while batch := await asyncio.to_thread(partial(_take, lines)):
            await response.write(batch)
        await response.write_eof()
        return response

    async def _seal(self, cell_id: str) -> web.Response:
        try:
            totals = await self._book.seal(cell_id, _SEAL_WAIT_S)
        except Rejected as error:
            return refuse(refusal_of("other", error))
        try:
            seal = await self._sealed(cell_id, totals)
        except BaseException:
            self._book.reopen(cell_id)  # a cell must not stay closed without a seal
            raise
        # Not cancelled with the client: once handed over, the record is written.
        await asyncio.shield(self._ledger.append({"kind": "cell_seal", **seal}))
        return answer(200, seal)

    async def _sealed(self, cell_id: str, totals: CellTotals) -> dict[str, Any]:
        # The slice is read back from the disk: the seal states what is there.
        states = await asyncio.to_thread(slice_digest, self._ledger.folder, cell_id)
        prompt, completion = totals.prompt_tokens, totals.completion_tokens
        measured = totals.unmeasured_calls == 0
        return {
            "cell_id": cell_id,
            "sealed_at": rfc3339(self._clock.wall_ns()),
            "calls": totals.calls,
            "records": states.records,
            "prompt_tokens": prompt if measured else None,
            "completion_tokens": completion if measured else None,
            "total_tokens": prompt + completion if measured else None,
            "unmeasured_calls": totals.unmeasured_calls,
            "digest": states.digest,
        }


def _take(lines: Any) -> bytes:  # noqa: ANN401 - an iterator of bytes, for a thread
    batch: list[bytes] = []
    for line in lines:
        batch.append(line)
        if len(batch) == _BATCH_LINES:
            break
    return b"".join(batch)


def answer(status: int, body: dict[str, Any]) -> web.Response:
    """Return a JSON answer."""
    return web.Response(
        status=status, headers={"Content-Type": "application/json"}, body=orjson.dumps(body)
    )


def refuse(refusal: Refusal) -> web.Response:
    """Return an error answer of the control API."""
    return web.Response(
        status=refusal.status, headers=headers_for(refusal), body=body_for("other", refusal)
    )
