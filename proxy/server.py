"""The HTTP face of the proxy: which request becomes a call, and which is answered here."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from aiohttp import web

from cab.proxy.auth.attribution import Caller, Identifier, Target, split_target
from cab.proxy.auth.request_secrets import sent_secrets
from cab.proxy.control.api import Control
from cab.proxy.control.metrics.labels import ModelLabels, known_models
from cab.proxy.errors import BadKey, Rejected
from cab.proxy.forwarding.body_budget import BodyBudget, BodyShare, NoRoom
from cab.proxy.forwarding.exchange import Exchange
from cab.proxy.forwarding.new_calls import admission_request, new_context, new_exchange
from cab.proxy.forwarding.ordinary.calls import OrdinaryCalls
from cab.proxy.forwarding.permission import refused_call
from cab.proxy.forwarding.response import AiohttpClient
from cab.proxy.forwarding.running_calls import RunningCalls
from cab.proxy.forwarding.services import ProxyServices
from cab.proxy.forwarding.websocket.upgrades import Upgrades, is_upgrade
from cab.proxy.http.browser_guard import BrowserGuard
from cab.proxy.http.error_responses import (
    OVERLOAD,
    ErrorResponse,
    RequestFailed,
    shape_of,
    web_response,
)
from cab.proxy.http.headers import TRACEPARENT, only_value
from cab.proxy.http.refusals import RefusalNotes
from cab.proxy.http.request import HttpRequest
from cab.proxy.http.request_body import read_body
from cab.proxy.http.request_checks import CONTROL_PREFIX, checked_target
from cab.proxy.logs import RedactingLogger
from cab.proxy.meter import CallMeter, Dialect, dialect_for, path_fault
from cab.proxy.redaction import Redactor

_LARGE_BODY_BYTES = 1 << 18
_REDACTORS_REMEMBERED = 256
_FREE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_NO_CONTROL_HERE = ErrorResponse(
    404, "not_found", "the control API is at /cab/, not below a cell's key"
)

log = RedactingLogger()


class Server:
    """Turns requests into calls.

    Args:
        services: What every call uses.
        identifier: Finds the cell that pays.
        control: Answers `/cab/...`, of which agents may see the health only where the control API has
            an address of its own.
        held: Redacts what this proxy must not write.
        guard: Of callers without a cell's key, where they can spend more than their own.
        models: Learn which models keys allow.
        refusals: Take note of what is refused.
    """

    def __init__(  # noqa: PLR0913 - it is put together in one place
        self,
        services: ProxyServices,
        identifier: Identifier,
        control: Control,
        held: Redactor,
        guard: BrowserGuard,
        models: ModelLabels,
        refusals: RefusalNotes,
    ) -> None:
        self._models = models
        self._refusals = refusals
        self._every_guard = guard
        self._services = services
        self._guard = self._guard_now()
        self._identifier = identifier
        self._control = control
        self.held = held
        """Redacts what this proxy must not write."""
        self._running = RunningCalls()
        settings = services.settings
        self._bodies = BodyBudget(settings.body_budget_bytes, settings.slot_wait_s)
        self._upgrades = Upgrades(services, self._bodies, self.require_open)
        parts = services, self, identifier, held, self._bodies, self._running
        self._ordinary = OrdinaryCalls(*parts)
        self.serve = self._ordinary.serve
        self.stopping = False

    def renew(self, held: Redactor) -> None:
        """Go by the settings as they are now; `held` redacts what must not be written."""
        self.held, self._guard = held, self._guard_now()
        self._models.learn(known_models(self._services.settings))
        self._ordinary.renew(held)
        self._bodies.set_wait(self._services.settings.slot_wait_s)

    def _guard_now(self) -> BrowserGuard | None:
        """Return who must be kept away: nobody where clients can spend nothing but their own."""
        return self._every_guard if self._services.upstreams.hold_key else None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        dialect: Dialect | None = None
        share = BodyShare(self._bodies)
        try:
            path_qs = checked_target(request)
            target = split_target(path_qs)
            redactor = self.held.with_secrets(sent_secrets(request.headers, target))
            if path_qs.startswith(CONTROL_PREFIX):
                apart = self._services.settings.control_apart
                return await self._control.handle(request, path_qs, redactor, health_only=apart)
            if target.path_qs.startswith(CONTROL_PREFIX):
                return web_response("other", _NO_CONTROL_HERE)
            has_body = bool(request.content_length or "Transfer-Encoding" in request.headers)
            dialect = dialect_for(request.method, target.path_qs, has_body=has_body)
            if fault := path_fault(target.path_qs):
                message = f"endpoints read {fault} in a path in different ways; write it plainly"
                raise RequestFailed(400, "bad_target", message)
            if is_upgrade(request):
                return await self._upgrade(request, target, redactor)
            exchange = await self._accept(request, target, dialect, redactor, share)
        except BaseException as error:
            share.release()
            if not isinstance(error, RequestFailed):
                raise
            return self._failed(request, dialect, error)
        return await self._run(exchange, share)

    async def handle_control(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request at the control API's own address."""
        try:
            path_qs = checked_target(request)
        except RequestFailed as error:
            return self._failed(request, None, error)
        sent = sent_secrets(request.headers, Target(path_qs, None))
        redactor = self.held.with_secrets(sent)
        return await self._control.handle(request, path_qs, redactor, apart=True)

    def call_redactors(self) -> Iterator[Redactor]:
        """Yield what redacts the secrets of the calls in flight."""
        yield self.held
        yield from self._running.redactors()
        yield from self._upgrades.redactors()

    def open_calls(self) -> int:
        """Return how many calls and WebSockets there are, with their clients or without."""
        return len(self._running) + self._upgrades.open_connections

    @property
    def calls(self) -> RunningCalls:
        """The calls in flight, but for those on a WebSocket."""
        return self._running

    @property
    def _in_flight(self) -> int:
        return len(self._running) + len(self._upgrades.calls)

    async def quiet(self, limit_s: float) -> bool:
        """Wait until no call is in flight; return whether that came true within the limit."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._ended()
        return not self._in_flight

    async def stop(self, grace_s: float) -> None:
        """Take no new calls; wait for those in flight, and after the grace time end them."""
        self.stopping = True
        self._upgrades.retire()
        if in_flight := self._in_flight:
            log.info("finishing_calls", in_flight=in_flight, grace_s=grace_s)
        if not await self.quiet(grace_s):
            log.warning("calls_given_up", in_flight=self._in_flight)
            for call in self._running:
                call.stop()
            self._upgrades.stop()
            await self._ended()
        await self._upgrades.ended()
        self._services.warnings.close()

    async def _ended(self) -> None:
        while self._in_flight:
            await self._running.ended()
            if calls := tuple(self._upgrades.calls):
                await asyncio.wait(calls)

    async def _upgrade(
        self, request: web.BaseRequest, target: Target, redactor: Redactor
    ) -> web.StreamResponse:
        """Answer an upgrade to WebSocket; each response on the connection is a call.

        Raises:
            RequestFailed: There is no connection.
        """

        def identify() -> Caller:
            now_s = self._services.clock.wall_ns() // 1_000_000_000
            return self.identify(request, target, now_s)

        admission = partial(admission_request, request)
        return await self._upgrades.serve(request, target, redactor, identify, admission)

    async def _accept(
        self,
        request: web.BaseRequest,
        target: Target,
        dialect: Dialect | None,
        redactor: Redactor,
        share: BodyShare,
    ) -> Exchange:
        """Make a call of a request; one for whose body there is no room is a rejected call without it.

        Raises:
            RequestFailed: It is answered here and costs nothing upstream.
        """
        clock = self._services.clock
        wall_ns, mono_ns = clock.wall_ns(), clock.mono_ns()
        caller = self.identify(request, target, wall_ns // 1_000_000_000)
        self.require_open()
        share.cell_id = caller.payer
        body, refusal = b"", None
        try:
            body = await self._read_body(request, share)
        except NoRoom as error:
            refusal = Rejected(OVERLOAD, str(error))
        meter = await self._meter(dialect, target, body, request)
        begun = wall_ns, mono_ns
        trace = only_value(request.headers, TRACEPARENT)
        parts = dialect, redactor, caller, body, meter, begun, trace
        context = new_context(self._services, request, target, *parts)
        context.body_queued_ms = share.queued_ms
        # Once more: the proxy may have begun to stop while the body came. From here until the call
        # is among the live ones nothing waits, so a stop either sees it or is seen by it.
        self.require_open()
        upstream = self._services.upstreams.for_model(context.request.model)
        context.upstream, context.route = upstream.base.authority, upstream.number
        context.client = request.remote
        context.prices = upstream.prices
        refusal = refusal or refused_call(request.method, target.path_qs, caller, upstream, context)
        client = partial(AiohttpClient, request, context.call_id)
        how = caller, context, meter, upstream, client, refusal
        return new_exchange(self._services, request, target, *how)

    def identify(self, request: HttpRequest, target: Target, now_s: int) -> Caller:
        """Return who makes a call.

        Args:
            request: The head of its request.
            target: Its target.
            now_s: Seconds since the Unix epoch.

        Raises:
            RequestFailed: Nobody who may.
        """
        try:
            caller = self._identifier.identify(request.headers, target, now_s)
        except BadKey as error:
            raise RequestFailed(401, "invalid_api_key", str(error)) from error
        if caller.key is not None and caller.key.scope != "call":
            message = "this key seals its cell and makes no calls; send the cell's other key"
            raise RequestFailed(401, "invalid_api_key", message)
        if caller.key is None and self._guard is not None:
            self._guard.check(request.headers)
        if caller.key is not None and caller.key.limits.models is not None:
            self._models.learn(caller.key.limits.models)
        return caller

    def require_open(self) -> None:
        """Return if a call can be taken now.

        Raises:
            RequestFailed: It cannot.
        """
        if self.stopping:
            raise RequestFailed(503, "stopping", "the proxy is stopping", retry=True)
        if self._services.ledger.refusal is not None:
            message = "the audit log cannot be written; call refused"
            raise RequestFailed(503, "ledger_failed", message)

    async def _read_body(self, request: web.BaseRequest, share: BodyShare) -> bytes:
        """Return the body, no byte of which is read before there is room for it."""
        settings = self._services.settings
        limits = settings.max_request_bytes, settings.body_progress_timeout_s
        return await read_body(request, *limits, "; raise max_request_bytes", hold=share.hold)

    async def _meter(
        self, dialect: Dialect | None, target: Target, body: bytes, request: web.BaseRequest
    ) -> CallMeter:
        content_encoding, content_type = (
            ", ".join(request.headers.getall(name, []))
            for name in ("Content-Encoding", "Content-Type")
        )
        make = partial(
            CallMeter,
            dialect,
            target.path_qs,
            body,
            content_encoding=content_encoding,
            content_type=content_type,
            hold_terminal=self._services.settings.ack == "end",
            text_limit_chars=self._services.settings.count_max_bytes,
        )
        # Reading a request takes about 10 ms for each MB: large ones must not hold up the loop.
        if len(body) < _LARGE_BODY_BYTES and not content_encoding:
            return make()
        async with self._bodies.large_reads:
            return await asyncio.to_thread(make)

    async def _run(self, exchange: Exchange, share: BodyShare) -> web.StreamResponse:
        """Run the call as a task of its own, so that it outlives a client that hangs up."""
        task = self._running.run(exchange, share)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            exchange.client_left()
            raise
        response = exchange.client.response if isinstance(exchange.client, AiohttpClient) else None
        # Falsy in older versions of aiohttp.
        return web.Response(status=499) if response is None else response

    def _failed(
        self, request: web.BaseRequest, dialect: Dialect | None, error: RequestFailed
    ) -> web.Response:
        name = dialect.name if dialect else "other"
        self._refusals.note(request, name, error.response, self.held)
        return web_response(shape_of(name, request.headers), error.response)
