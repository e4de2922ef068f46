"""The HTTP face of the proxy: which request becomes a call, and which is answered here."""

import asyncio
from functools import partial

import structlog
from aiohttp import web

from cab.proxy.accounting.admission import AdmissionRequest
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.auth.attribution import Caller, Identifier, Target, split_target
from cab.proxy.auth.request_secrets import sent_secrets
from cab.proxy.control.api import Control
from cab.proxy.errors import BadKey
from cab.proxy.forwarding.exchange import Exchange, ProxyServices
from cab.proxy.http.error_responses import ErrorResponse, RequestRefused, body_for, headers_for
from cab.proxy.http.headers import as_sent, request_headers
from cab.proxy.http.request_checks import BAD_TARGET, fault_of, origin_form
from cab.proxy.ledger.call_records import CallContext
from cab.proxy.ledger.uuid7 import uuid7
from cab.proxy.meter import CallMeter, Dialect, dialect_for
from cab.proxy.redaction import IN_PLAY, worth_hiding
from cab.scoring.ledger.records import METERED_ENDPOINTS, Endpoint

CONTROL_PREFIX = "/cab/"
_LARGE_BODY_BYTES = 1 << 18
_LOOKS = frozenset({"GET", "HEAD", "OPTIONS"})
_NO_CONTROL_HERE = ErrorResponse(
    404, "not_found", "the control API is at /cab/, not below a cell's key"
)

log = structlog.get_logger("cab.proxy")


class Server:
    """Turns requests into calls.

    Args:
        parts: What every call uses.
        identifier: Tells which cell pays.
        control: Answers `/cab/...`, of which agents may see the health only where the control API has
            an address of its own.
        held_secrets: What this proxy must not write.
    """

    def __init__(
        self,
        parts: ProxyServices,
        identifier: Identifier,
        control: Control,
        held_secrets: tuple[str, ...] = (),
    ) -> None:
        self._parts = parts
        self._held_secrets = held_secrets
        self._identifier = identifier
        self._control = control
        self._live: dict[asyncio.Task[web.StreamResponse], Exchange] = {}
        self.stopping = False

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        fault, path_qs = fault_of(request), origin_form(request.raw_path)
        if fault is not None or path_qs is None:
            return refuse("other", fault or BAD_TARGET)
        target = split_target(path_qs)
        IN_PLAY.set((*worth_hiding(sent_secrets(request.headers, target)), *self._held_secrets))
        if path_qs.startswith(CONTROL_PREFIX):
            apart = self._parts.settings.control_apart
            return await self._control.handle(request, health_only=apart)
        if target.path_qs.startswith(CONTROL_PREFIX):
            return refuse("other", _NO_CONTROL_HERE)
        dialect = dialect_for(request.method, target.path_qs.partition("?")[0])
        try:
            exchange = await self._accept(request, target, dialect)
        except RequestRefused as refused:
            return refuse(dialect.name if dialect else "other", refused.refusal)
        return await self._run(request, exchange)

    async def handle_control(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request at the control API's own address."""
        sent = sent_secrets(request.headers, Target(request.raw_path, None))
        IN_PLAY.set((*worth_hiding(sent), *self._held_secrets))
        return await self._control.handle(request)

    async def _accept(
        self, request: web.BaseRequest, target: Target, dialect: Dialect | None
    ) -> Exchange:
        """Make a call of a request.

        Raises:
            Refused: It is answered here and costs nothing upstream.
        """
        clock = self._parts.clock
        wall_ns, mono_ns = clock.wall_ns(), clock.mono_ns()
        caller = self._identify(request, target, wall_ns // 1_000_000_000)
        self._check(request)
        body = await self._read_body(request)
        meter = await self._meter(dialect, target, body)
        facts = CallContext(
            call_id=uuid7(wall_ns),
            cell_id=caller.cell_id,
            endpoint=dialect.name if dialect else "other",
            request=meter.request,
            request_bytes=len(body),
            user_agent=request.headers.get("User-Agent"),
            started_wall_ns=wall_ns,
            started_ns=mono_ns,
            received_ns=clock.mono_ns(),
            secrets=IN_PLAY.get(),
        )
        # Once more: the proxy may have been told to stop while the body came. From here until the
        # call is among the live ones nothing waits, so a stop either sees it or is seen by it.
        self._check(request)
        return self._exchange(request, target, caller, facts, meter)

    def _identify(self, request: web.BaseRequest, target: Target, now_s: int) -> Caller:
        try:
            return self._identifier.identify(request.headers, target, now_s)
        except BadKey as error:
            raise RequestRefused(401, "invalid_api_key", str(error)) from error

    async def quiet(self, limit_s: float) -> bool:
        """Wait until no call is in flight; return whether that came true within the limit."""
        if self._live:
            await asyncio.wait(self._live, timeout=limit_s)
        return not self._live

    async def stop(self, grace_s: float) -> None:
        """Take no new calls; wait for those in flight, and after the grace time end them."""
        self.stopping = True
        if self._live:
            log.info("finishing_calls", in_flight=len(self._live), grace_s=grace_s)
        if not await self.quiet(grace_s):
            log.warning("calls_given_up", in_flight=len(self._live))
            for exchange in self._live.values():
                exchange.stop()
            await asyncio.wait(self._live)

    def _check(self, request: web.BaseRequest) -> None:
        """Refuse what cannot be taken now."""
        if request.headers.get("Upgrade", "").lower() == "websocket":
            # codex falls back to POST at once on 426; on 400 it gives up, on silence it waits.
            message = "WebSocket is not metered here; send the request as POST"
            raise RequestRefused(426, "upgrade_refused", message)
        if self.stopping:
            raise RequestRefused(503, "stopping", "the proxy is stopping", retry=True)
        if self._parts.ledger.refusal is not None:
            message = "the audit log cannot be written; call refused"
            raise RequestRefused(503, "ledger_failed", message)

    async def _read_body(self, request: web.BaseRequest) -> bytes:
        limit = self._parts.settings.max_request_bytes
        message = f"the request body is over {limit} bytes; raise max_request_bytes"
        if (request.content_length or 0) > limit:
            raise RequestRefused(413, "request_too_large", message)
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # the interim answer is no part of the response
        pieces: list[bytes] = []
        size = 0
        async for piece in request.content.iter_any():
            size += len(piece)
            if size > limit:
                raise RequestRefused(413, "request_too_large", message)
            pieces.append(piece)
        return b"".join(pieces)

    async def _meter(self, dialect: Dialect | None, target: Target, body: bytes) -> CallMeter:
        hold = self._parts.settings.ack == "end"
        make = partial(CallMeter, dialect, target.path_qs, body, hold_terminal=hold)
        # Reading a request takes about 10 ms for each MB: large ones must not hold up the loop.
        return make() if len(body) < _LARGE_BODY_BYTES else await asyncio.to_thread(make)

    def _exchange(
        self,
        request: web.BaseRequest,
        target: Target,
        caller: Caller,
        facts: CallContext,
        meter: CallMeter,
    ) -> Exchange:
        endpoint = self._parts.upstreams.for_model(facts.request.model)
        if endpoint.refuses_stream_options and meter.request.injected:
            meter.without_injection()
        headers = request_headers(as_sent(request.raw_headers))
        keep = caller.foreign_key is not None
        path_qs = endpoint.prepare(headers, target.path_qs, facts.endpoint, keep_credentials=keep)
        if facts.endpoint != "other":
            headers["Accept-Encoding"] = "identity"
        ask = ask_for(request, caller, facts)
        return Exchange(self._parts, facts, meter, ask, endpoint, request, path_qs, headers)

    async def _run(self, request: web.BaseRequest, exchange: Exchange) -> web.StreamResponse:
        """Run the call as a task of its own, so that it outlives a client that hangs up."""
        task = asyncio.get_running_loop().create_task(guarded(exchange, request))
        self._live[task] = exchange  # also keeps the task from being garbage collected
        task.add_done_callback(self._live.pop)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            exchange.client_left()
            raise


async def guarded(exchange: Exchange, request: web.BaseRequest) -> web.StreamResponse:
    """Run a call; if even its record fails, the client sees its connection break, and no other."""
    try:
        return await exchange.run()
    except Exception:
        log.exception("call_lost", method=request.method)
        if request.transport is not None:
            request.transport.close()  # a head may be out already: no second one behind it
        return refuse(
            "other", ErrorResponse(500, "internal_error", "the proxy failed; see its log")
        )


def ask_for(request: web.BaseRequest, caller: Caller, facts: CallContext) -> AdmissionRequest:
    """Return what the book is asked for a call."""
    counts = facts.endpoint in METERED_ENDPOINTS
    # Looking something up costs nothing. Everything else may, whether it is metered or not.
    limited = caller.key is not None and (counts or request.method not in _LOOKS)
    return AdmissionRequest(
        caller.cell_id,
        facts.call_id,
        facts.request.request_hash,
        sdk_retry=request.headers.get("x-stainless-retry-count", "0") not in {"", "0"},
        counts=counts,
        limits=caller.key.limits if caller.key is not None and limited else KeyLimits(),
    )


def refuse(endpoint: Endpoint, refusal: ErrorResponse) -> web.Response:
    """Return the answer of a request that does not become a call."""
    return web.Response(
        status=refusal.status, headers=headers_for(refusal), body=body_for(endpoint, refusal)
    )
