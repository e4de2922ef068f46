"""The control API `/cab/...`: health, cells, seals, keys. It never leaves the proxy.

`openapi.json` describes it to programs, docs/control-api.md to people.
"""

import asyncio
import importlib.metadata
import importlib.resources
from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import orjson
from aiohttp import web

from cab.proxy.accounting.admission import CellRegistry, CellSnapshot
from cab.proxy.auth import cell_keys
from cab.proxy.auth.key_register import KeyRegister
from cab.proxy.control.authorization import Access
from cab.proxy.control.ledger_reads import LedgerReads
from cab.proxy.control.metrics.process import CollectMetrics
from cab.proxy.control.metrics.samples import Samples
from cab.proxy.control.readiness import Readiness
from cab.proxy.control.schemas import (
    MAX_BODY_BYTES,
    Mint,
    Revoke,
    cell_view,
    checked_id,
    key_view,
    parse_body,
    parse_page,
)
from cab.proxy.control.sealing import Sealer, slice_lines
from cab.proxy.errors import BadConfig, BadKey, CabProxyError, LedgerFailed, Rejected
from cab.proxy.http.error_responses import (
    ErrorResponse,
    RequestFailed,
    error_response_for,
    web_response,
)
from cab.proxy.http.refusals import RefusalNotes
from cab.proxy.http.request_body import read_body
from cab.proxy.ledger.capture.body_capture import BodyCapture
from cab.proxy.ledger.ledger import Ledger
from cab.proxy.logs import RedactingLogger
from cab.proxy.redaction import Redactor

if TYPE_CHECKING:
    from cab.proxy.control.live.routes import LiveView
    from cab.proxy.control.telemetry.export import OtlpExport
    from cab.proxy.ledger.shipping.status_file import ShippingView

_CELL = "{cell_id}"


class ControlRequest(NamedTuple):
    """A request of the control API, taken apart."""

    request: web.BaseRequest
    cell_id: str
    """From the path; empty where there is none."""
    query: str
    apart: bool
    """Whether it came to the control API's own address."""


Handler = Callable[[ControlRequest], Awaitable[web.StreamResponse]]


class Control:
    """Answers the control API.

    Args:
        registry: State of all cells.
        ledger: Where their lines are.
        sealer: Seals them.
        access: Decides who may ask what.
        reads: Read the ledger.
        live: The live view.
        capture: Keeps bodies; what it has not kept is counted. None if there is none.
        telemetry: Exports spans; what it has not delivered is counted. None if it does not.
        shipping: Says how the ledger is shipped. None if it is not.
        metrics: Collects the metrics of all processes.
        refusals: Take note of what is refused.
        stopping: Whether the proxy takes no new calls.
        readiness: Says whether the endpoints can be reached.
        body_progress_timeout_s: See `read_body`.
    """

    def __init__(  # noqa: PLR0913 - it is put together in one place
        self,
        registry: CellRegistry,
        ledger: Ledger,
        sealer: Sealer,
        access: Access,
        reads: LedgerReads,
        live: "Callable[[], LiveView]",
        capture: BodyCapture | None,
        telemetry: "OtlpExport | None",
        shipping: "ShippingView | None",
        metrics: CollectMetrics,
        refusals: RefusalNotes,
        stopping: Callable[[], bool],
        readiness: Readiness,
        body_progress_timeout_s: float,
    ) -> None:
        self._registry = registry
        self._ledger = ledger
        self._sealer = sealer
        self._access = access
        self._reads = reads
        self._live_view = live
        self._capture = capture
        self._telemetry = telemetry
        self._shipping = shipping
        self._collect_metrics = metrics
        self._refusals = refusals
        self._stopping = stopping
        self._readiness = readiness
        self._body_progress_timeout_s = body_progress_timeout_s
        self._health_routes: dict[str, dict[str, Handler]] = {
            "/cab/health": {"GET": self._health, "HEAD": self._health},
            "/cab/health/live": {"GET": self._live, "HEAD": self._live},
            "/cab/health/ready": {"GET": self._ready, "HEAD": self._ready},
        }
        self._routes: dict[str, dict[str, Handler]] = {
            **self._health_routes,
            "/cab/openapi.json": {"GET": self._openapi},
            "/cab/metrics": {"GET": self._metrics},
            "/cab/cells": {"GET": self._cells},
            f"/cab/cells/{_CELL}": {"GET": self._cell},
            f"/cab/cells/{_CELL}/calls": {"GET": self._calls},
            f"/cab/cells/{_CELL}/open": {"POST": self._open},
            f"/cab/cells/{_CELL}/seal": {"POST": self._seal},
            "/cab/": {"GET": self._page},
            "/cab/live/events": {"GET": self._events},
            "/cab/live/style.css": {"GET": self._style},
            "/cab/live/live.js": {"GET": self._script},
            "/cab/keys": {"GET": self._keys, "POST": self._mint},
            "/cab/keys/revoke": {"POST": self._revoke},
        }

    async def handle(
        self,
        request: web.BaseRequest,
        path_qs: str,
        redactor: Redactor,
        *,
        health_only: bool = False,
        apart: bool = False,
    ) -> web.StreamResponse:
        """Answer one request.

        Args:
            request: The request.
            path_qs: Its path and query.
            redactor: Takes what came with it out of the log.
            health_only: Answer nothing but health here.
            apart: Whether it came to the control API's own address.
        """
        path, _, query = path_qs.partition("?")
        pattern, cell_id = _pattern(path)
        methods = (self._health_routes if health_only else self._routes).get(pattern)
        if methods is None:
            message = "no such path here; see docs/control-api.md"
            return web_response("other", ErrorResponse(404, "not_found", message))
        handler = methods.get(request.method)
        if handler is None:
            allowed = ", ".join(methods)
            error = ErrorResponse(405, "method_not_allowed", f"this path takes {allowed}")
            return web_response("other", error, Allow=allowed)
        try:
            return await handler(ControlRequest(request, cell_id, query, apart))
        except (RequestFailed, CabProxyError) as error:
            refusal = _response_for(error)
            self._refusals.note(request, "control", refusal, redactor)
            return web_response("other", refusal)
        except Exception:
            log = RedactingLogger(redactor)
            log.exception("control_failed", method=request.method)
            message = "the proxy failed; see its log"
            return web_response("other", ErrorResponse(500, "internal_error", message))

    async def _health(self, _: ControlRequest) -> web.Response:
        body = {"live": True, **self._state(), **(await self._registry.load())._asdict()}
        return answer(200 if body["ready"] else 503, body)

    async def _live(self, _: ControlRequest) -> web.Response:
        return answer(200, {"live": True, "version": version()})

    async def _ready(self, _: ControlRequest) -> web.Response:
        endpoints = await self._readiness.endpoints()
        body = {**self._state(), "endpoints": endpoints._asdict()}
        if not endpoints.reachable and endpoints.unreachable:
            body["ready"] = False
        return answer(200 if body["ready"] else 503, body)

    def _state(self) -> dict[str, Any]:
        stopping = self._stopping()
        return {
            "version": version(),
            "ready": self._ledger.refusal is None and not stopping,
            "stopping": stopping,
            "ledger_failure": self._ledger.failure,
            "ledger_unwritten_records": self._ledger.unwritten_records,
            "ledger_lost_records": self._ledger.lost_records,
            **self._lost_calls(),
            **self._dropped_spans(),
            **self._shipped(),
        }

    def _dropped_spans(self) -> dict[str, Any]:
        if self._telemetry is None:
            return {}
        dropped, failure = self._telemetry.dropped, self._telemetry.failure
        return {"otel_dropped_spans": dropped, "otel_failure": failure}

    def _shipped(self) -> dict[str, Any]:
        return {} if self._shipping is None else {"shipping": self._shipping.status()}

    def _lost_calls(self) -> dict[str, Any]:
        if self._capture is None:
            return {}
        lost = self._capture.lost_calls
        return {"capture_lost_calls": lost, "capture_failure": self._capture.loss}

    async def _openapi(self, _: ControlRequest) -> web.Response:
        return web.Response(headers={"Content-Type": "application/json"}, body=openapi())

    async def _metrics(self, asked: ControlRequest) -> web.Response:
        self._access.require_metrics(asked.request, apart=asked.apart)
        samples = await self._collect_metrics()
        accept = asked.request.headers.get("Accept", "")
        # With a hundred models it takes some 50 ms, in which calls must go on.
        content_type, body = await asyncio.to_thread(_written, samples, accept)
        return web.Response(headers={"Content-Type": content_type}, body=body)

    async def _page(self, asked: ControlRequest) -> web.StreamResponse:
        return await self._live_view().page(asked.request, asked.query)

    async def _events(self, asked: ControlRequest) -> web.StreamResponse:
        return await self._live_view().events(asked.request)

    async def _style(self, _: ControlRequest) -> web.StreamResponse:
        return self._live_view().asset("style.css")

    async def _script(self, _: ControlRequest) -> web.StreamResponse:
        return self._live_view().asset("live.js")

    async def _cells(self, asked: ControlRequest) -> web.Response:
        self._access.require_admin(asked.request)
        page = parse_page(asked.query)
        found = await self._registry.totals(page.prefix, page.after, page.limit + 1)
        cells, more = found[: page.limit], len(found) > page.limit
        body = {
            "cells": [cell_view(totals) for totals in cells],
            "next_after": cells[-1].cell_id if more else None,
        }
        return answer(200, body)

    async def _cell(self, asked: ControlRequest) -> web.Response:
        return answer(200, cell_view(await self._known(asked)))

    async def _known(self, asked: ControlRequest, *, to_seal: bool = False) -> CellSnapshot:
        """Return the totals of the cell that is asked about.

        Raises:
            RequestFailed: The caller may not ask, or the cell was never opened or called: what it used is
                unknown then, and not zero.
            BadKey: The key is not valid.
        """
        self._access.require_cell(asked.request, asked.cell_id, to_seal=to_seal)
        found = await self._registry.totals(asked.cell_id, limit=1)
        if found and found[0].cell_id == asked.cell_id:  # sorted: the shortest id comes first
            return found[0]
        raise RequestFailed(404, "no_such_cell", "this cell was never opened or called")

    async def _calls(self, asked: ControlRequest) -> web.StreamResponse:
        await self._known(asked)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        lines = slice_lines(self._ledger.folder, asked.cell_id)
        async for batch in self._reads.batches(lines):
            # Not before there are lines: until then, what goes wrong still has a status of its own.
            if not response.prepared:
                await response.prepare(asked.request)
            await response.write(batch)
        return response

    async def _open(self, asked: ControlRequest) -> web.Response:
        self._access.require_cell(asked.request, asked.cell_id, to_seal=True)
        return answer(201, await self._sealer.open(checked_id(asked.cell_id)))

    async def _seal(self, asked: ControlRequest) -> web.Response:
        await self._known(asked, to_seal=True)
        return answer(200, await self._sealer.seal(asked.cell_id))

    async def _body(self, request: web.BaseRequest) -> bytes:
        return await read_body(request, MAX_BODY_BYTES, self._body_progress_timeout_s)

    @property
    def _register(self) -> KeyRegister:
        return KeyRegister(self._access.identifier.ring, self._access.identifier.revocations)

    async def _keys(self, asked: ControlRequest) -> web.Response:
        self._access.require_admin(asked.request)
        page, now_s = parse_page(asked.query), self._access.now_s()
        found = await asyncio.to_thread(self._register.views, now_s, page.prefix)
        ids = [each["key_id"] for each in found]
        first = ids.index(page.after) + 1 if page.after in ids else 0
        keys, more = found[first : first + page.limit], len(found) > first + page.limit
        body = {"keys": keys, "next_after": keys[-1]["key_id"] if more else None}
        return answer(200, body)

    async def _mint(self, asked: ControlRequest) -> web.Response:
        self._access.require_admin(asked.request)
        wanted = parse_body(Mint, await self._body(asked.request))
        register, now_s = self._register, self._access.now_s()
        try:
            register.require_mintable(wanted.cell_id, now_s)
        except BadConfig as error:
            raise RequestFailed(409, "key_revoked", str(error)) from error
        values = wanted.cell_id, wanted.ttl_s, now_s, wanted.limits()
        keys = await asyncio.to_thread(register.mint_both, *values)
        return answer(201, key_view(self._access.identifier.ring, keys))

    async def _revoke(self, asked: ControlRequest) -> web.Response:
        self._access.require_admin(asked.request)
        wanted = parse_body(Revoke, await self._body(asked.request))
        register, now_s = self._register, self._access.now_s()
        if wanted.cell_id is not None:
            done = await asyncio.to_thread(register.revoke_cell, wanted.cell_id, now_s)
            return answer(200, {"cell_id": wanted.cell_id, "key_id": None, **done._asdict()})
        key_id, until_s = wanted.key_id, None
        if wanted.key is not None:
            key_id, until_s = _named(wanted.key)
        done = await asyncio.to_thread(register.revoke_key, key_id or "", now_s, until_s)
        return answer(200, {"cell_id": None, "key_id": key_id, **done._asdict()})


def _written(samples: Samples, accept: str) -> tuple[str, bytes]:
    # Most proxies are never scraped: nothing of this is loaded before somebody does.
    from cab.proxy.control.metrics.exposition import exposition  # noqa: PLC0415

    return exposition(samples, accept)


def _response_for(error: RequestFailed | CabProxyError) -> ErrorResponse:
    match error:
        case RequestFailed():
            return error.response
        case Rejected():
            return error_response_for("other", error)
        case BadKey():
            return ErrorResponse(401, "invalid_api_key", str(error))
        case LedgerFailed():
            message = (
                "the audit log cannot be written; /cab/health and cab ledger verify show where"
            )
            return ErrorResponse(503, "ledger_failed", message)
        case _:
            return ErrorResponse(503, "not_written", str(error))


def _named(key: str) -> tuple[str, int | None]:
    try:
        return cell_keys.key_id_of(key)
    except BadKey as error:
        raise RequestFailed(400, "bad_request", str(error)) from error


def _pattern(path: str) -> tuple[str, str]:
    """Return a path with its cell's id replaced, and the id."""
    parts = path.split("/")
    if len(parts) > 3 and parts[:3] == ["", "cab", "cells"] and parts[3]:
        cell_id = unquote(parts[3])
        return "/".join([*parts[:3], _CELL, *parts[4:]]), cell_id
    return path, ""


@cache
def version() -> str:
    """Return the version of this program."""
    return importlib.metadata.version("coding-agent-bench")


@cache
def openapi() -> bytes:
    """Return the OpenAPI document of the control API."""
    return importlib.resources.files("cab.proxy.control").joinpath("openapi.json").read_bytes()


def answer(status: int, body: dict[str, Any]) -> web.Response:
    """Return a JSON answer."""
    return web.Response(
        status=status, headers={"Content-Type": "application/json"}, body=orjson.dumps(body)
    )
