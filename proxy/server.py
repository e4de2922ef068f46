"""The HTTP face of the proxy: which request becomes a call, and which is answered here."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from aiohttp import web

from cab.proxy.accounting.admission import AdmissionRequest, LocalCellRegistry
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.auth.attribution import Caller, Identifier, Target, split_target
from cab.proxy.auth.request_secrets import sent_secrets
from cab.proxy.control.api import Control
from cab.proxy.errors import BadKey, Rejected
from cab.proxy.forwarding.body_budget import BodyBudget, BodyShare, NoRoom
from cab.proxy.forwarding.exchange import Exchange
from cab.proxy.forwarding.ordinary.call import OrdinaryExchange
from cab.proxy.forwarding.ordinary.client import DirectCall, DirectClient
from cab.proxy.forwarding.ordinary.head import Forward, KnownHead
from cab.proxy.forwarding.permission import refused_call
from cab.proxy.forwarding.response import AiohttpClient, Client
from cab.proxy.forwarding.services import ProxyServices
from cab.proxy.forwarding.upstream import Upstream
from cab.proxy.forwarding.websocket.upgrades import Upgrades, is_upgrade
from cab.proxy.http.browser_guard import BrowserGuard
from cab.proxy.http.error_responses import (
    OVERLOAD,
    ErrorResponse,
    RequestFailed,
    shape_of,
    web_response,
)
from cab.proxy.http.headers import as_sent, request_headers
from cab.proxy.http.request import HttpRequest
from cab.proxy.http.request_body import read_body
from cab.proxy.http.request_checks import checked_target
from cab.proxy.http.wire.client_connection import OrdinaryCall, OrdinaryConnection
from cab.proxy.http.wire.request_head import RequestHead
from cab.proxy.ledger.call_records import CallContext
from cab.proxy.ledger.uuid7 import uuid7
from cab.proxy.logs import RedactingLogger
from cab.proxy.meter import CallMeter, Dialect, dialect_for, may_cost_unmetered, path_fault
from cab.proxy.redaction import Redactor
from cab.scoring.ledger.records import METERED_ENDPOINTS

CONTROL_PREFIX = "/cab/"
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
        guard: Of callers without a cell's key; None where they can spend nothing but their own.
    """

    def __init__(
        self,
        services: ProxyServices,
        identifier: Identifier,
        control: Control,
        held: Redactor,
        guard: BrowserGuard | None,
    ) -> None:
        self._guard = guard
        self._services = services
        self._identifier = identifier
        self._control = control
        self._held = held
        self._live: dict[asyncio.Task[None], Exchange] = {}
        self._quick: dict[OrdinaryExchange, None] = {}
        """Calls without a task."""
        self._redactors: dict[frozenset[str], Redactor] = {}
        """By the secrets of a head: making one, and filling what it remembers, takes long."""
        self._no_quick = asyncio.Event()
        self._no_quick.set()
        settings = services.settings
        self._bodies = BodyBudget(settings.body_budget_bytes, settings.slot_wait_s)
        self._upgrades = Upgrades(services, self._bodies, self._require_open)
        self.stopping = False

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        dialect: Dialect | None = None
        share = BodyShare(self._bodies)
        try:
            path_qs = checked_target(request)
            target = split_target(path_qs)
            redactor = self._held.with_secrets(sent_secrets(request.headers, target))
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
            return _failed(request, dialect, error)
        return await self._run(exchange, share)

    async def handle_control(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request at the control API's own address."""
        try:
            path_qs = checked_target(request)
        except RequestFailed as error:
            return _failed(request, None, error)
        sent = sent_secrets(request.headers, Target(path_qs, None))
        return await self._control.handle(request, path_qs, self._held.with_secrets(sent))

    def call_redactors(self) -> Iterator[Redactor]:
        """Yield what redacts the secrets of the calls in flight."""
        # Copied in one step: another thread may be the one that logs.
        yield from (exchange.redactor for exchange in tuple(self._live.values()))
        yield from (call.redactor for call in tuple(self._quick))
        yield from self._upgrades.redactors()

    def open_calls(self) -> int:
        """Return how many calls and WebSockets there are, with their clients or without."""
        return len(self._live) + len(self._quick) + self._upgrades.open_connections

    @property
    def calls(self) -> "list[Exchange | OrdinaryExchange]":
        """The calls in flight, but for those on a WebSocket."""
        return [*self._live.values(), *self._quick]

    @property
    def _tasks(self) -> "set[asyncio.Task[Any]]":
        return {*self._live, *self._upgrades.calls}

    @property
    def _in_flight(self) -> int:
        return len(self._tasks) + len(self._quick)

    async def quiet(self, limit_s: float) -> bool:
        """Wait until no call is in flight; return whether that came true within the limit."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while self._in_flight:  # one that is taken over goes on as a task
                    await self._no_quick.wait()
                    if tasks := self._tasks:
                        await asyncio.wait(tasks)
        return not self._in_flight

    async def stop(self, grace_s: float) -> None:
        """Take no new calls; wait for those in flight, and after the grace time end them."""
        self.stopping = True
        self._upgrades.retire()
        if in_flight := self._in_flight:
            log.info("finishing_calls", in_flight=in_flight, grace_s=grace_s)
        if not await self.quiet(grace_s):
            log.warning("calls_given_up", in_flight=self._in_flight)
            for call in self.calls:
                call.stop()
            self._upgrades.stop()
            while self._in_flight:
                await self._no_quick.wait()
                if tasks := self._tasks:
                    await asyncio.wait(tasks)
        await self._upgrades.ended()

    async def _upgrade(
        self, request: web.BaseRequest, target: Target, redactor: Redactor
    ) -> web.StreamResponse:
        """Answer an upgrade to WebSocket; each response on the connection is a call.

        Raises:
            RequestFailed: There is no connection.
        """

        def identify() -> Caller:
            now_s = self._services.clock.wall_ns() // 1_000_000_000
            return self._identify(request, target, now_s)

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
        caller = self._identify(request, target, wall_ns // 1_000_000_000)
        self._require_open()
        share.cell_id = caller.payer
        body, refusal = b"", None
        try:
            body = await self._read_body(request, share)
        except NoRoom as error:
            refusal = Rejected(OVERLOAD, str(error))
        meter = await self._meter(dialect, target, body, request)
        begun = wall_ns, mono_ns
        context = self._context(request, target, dialect, redactor, caller, body, meter, begun)
        context.body_queued_ms = share.queued_ms
        # Once more: the proxy may have begun to stop while the body came. From here until the call
        # is among the live ones nothing waits, so a stop either sees it or is seen by it.
        self._require_open()
        upstream = self._services.upstreams.for_model(context.request.model)
        refusal = refusal or refused_call(request.method, target.path_qs, caller, upstream, context)
        client = partial(AiohttpClient, request, context.call_id)
        return self._exchange(request, target, caller, context, meter, upstream, client, refusal)

    def serve(
        self, connection: OrdinaryConnection, head: RequestHead, body: bytes
    ) -> OrdinaryCall | None:
        """Begin a call of an ordinary request on our own wire.

        None if it is not a call, or must wait or be refused here: aiohttp serves these.
        """
        share = BodyShare(self._bodies)
        try:
            call = self._ordinary_call(connection, head, body, share)
        except (RequestFailed, BadKey):
            call = None
        except Exception:
            # Whatever it is: nothing has begun, and it is answered as any other fault.
            log.exception("request_not_read")
            call = None
        if call is None:
            share.release()
        return call

    def _ordinary_call(
        self, connection: OrdinaryConnection, head: RequestHead, body: bytes, share: BodyShare
    ) -> OrdinaryCall | None:
        clock = self._services.clock
        begun = wall_ns, _ = clock.wall_ns(), clock.mono_ns()
        known = head.derived
        if not isinstance(known, KnownHead):
            known = head.derived = self._known_head(head)
        if known.dialect is None or len(body) > self._services.settings.max_request_bytes:
            return None
        caller, now_s = known.caller, wall_ns // 1_000_000_000
        if caller is None:
            caller = known.caller = self._identify(head, known.target, now_s)
        elif caller.key is not None:
            self._identifier.check(caller.key, now_s)
        self._require_open()
        share.cell_id = caller.payer
        if not share.hold_now(len(body)):
            return None
        settings = self._services.settings
        hold_terminal = settings.ack == "end"
        meter = CallMeter(
            known.dialect,
            known.target.path_qs,
            body,
            content_type=known.content_type,
            hold_terminal=hold_terminal,
            text_limit_chars=settings.count_max_bytes,
        )
        parts = known.target, known.dialect, known.redactor, caller, body, meter, begun
        context = self._context(head, *parts)
        model = context.request.model
        upstream = self._services.upstreams.for_model(model)
        if refused_call(head.method, known.target.path_qs, caller, upstream, context):
            return None
        keep, asks = caller.foreign_key is not None, meter.request.injected
        shown = upstream.usage_requests.accepted(model, context.started_ns) if asks else True
        forward = known.forward(upstream, keep_credentials=keep)
        if forward is not None and shown and self._is_quick:
            return self._quick_call(connection, known, forward, context, meter, caller, share)
        client = partial(DirectClient, connection, head, context.call_id)
        exchange = self._exchange(
            head, known.target, caller, context, meter, upstream, client, None
        )
        return DirectCall(exchange, self._task(exchange, exchange.run(), share))

    @property
    def _is_quick(self) -> bool:
        """Whether calls need no task: nothing of them is limited in time, or asked elsewhere."""
        settings = self._services.settings
        limits = settings.headers_timeout_s, settings.body_timeout_s
        local = isinstance(self._services.registry, LocalCellRegistry)
        return local and settings.ack == "end" and limits == (None, None)

    def _quick_call(  # noqa: PLR0913 - a call is put together in one place
        self,
        connection: OrdinaryConnection,
        known: KnownHead,
        forward: Forward,
        context: CallContext,
        meter: CallMeter,
        caller: Caller,
        share: BodyShare,
    ) -> OrdinaryCall | None:
        registry = self._services.registry
        admission = admission_request(known.head, caller, context)
        if not isinstance(registry, LocalCellRegistry):
            return None
        admitted = registry.try_admit(admission)
        if admitted is None:
            return None
        context.take(admitted)

        def over(call: OrdinaryExchange, exchange: Exchange | None) -> asyncio.Task[None] | None:
            del self._quick[call]
            if not self._quick:
                self._no_quick.set()
            if exchange is None:
                share.release()
                return None
            return self._task(exchange, exchange.run(), share)

        parts = known, forward, context, meter, admission, over
        call = OrdinaryExchange(self._services, connection, *parts)
        self._quick[call] = None
        self._no_quick.clear()
        call.begin()
        return call

    def _known_head(self, head: RequestHead) -> KnownHead:
        """Return what follows from the head of a request, whoever sends it and when."""
        path_qs = checked_target(head)
        target = split_target(path_qs)
        sent = frozenset(sent_secrets(head.headers, target))
        redactor = self._redactors.get(sent)
        if redactor is None:
            if len(self._redactors) >= _REDACTORS_REMEMBERED:
                self._redactors.clear()
            redactor = self._redactors[sent] = self._held.with_secrets(sent)
        dialect = dialect_for(head.method, target.path_qs, has_body=True)
        ours = path_qs.startswith(CONTROL_PREFIX) or target.path_qs.startswith(CONTROL_PREFIX)
        if ours or path_fault(target.path_qs):
            dialect = None
        content_type = ", ".join(head.headers.getall("Content-Type", []))
        return KnownHead(head, target, dialect, redactor, content_type)

    def _context(  # noqa: PLR0913 - all that is known of a call
        self,
        request: HttpRequest,
        target: Target,
        dialect: Dialect | None,
        redactor: Redactor,
        caller: Caller,
        body: bytes,
        meter: CallMeter,
        begun: tuple[int, int],
    ) -> CallContext:
        wall_ns, mono_ns = begun
        return CallContext(
            call_id=uuid7(wall_ns),
            cell_id=caller.cell_id,
            endpoint=dialect.name if dialect else "other",
            assumed_output_cap=self._services.settings.assumed_output_cap,
            may_cost=None
            if dialect
            else may_cost_unmetered(request.method, target.path_qs, has_body=bool(body)),
            request=meter.request,
            request_bytes=len(body),
            user_agent=request.headers.get("User-Agent"),
            started_wall_ns=wall_ns,
            started_ns=mono_ns,
            received_ns=self._services.clock.mono_ns(),
            redactor=redactor,
        )

    def _identify(self, request: HttpRequest, target: Target, now_s: int) -> Caller:
        try:
            caller = self._identifier.identify(request.headers, target, now_s)
        except BadKey as error:
            raise RequestFailed(401, "invalid_api_key", str(error)) from error
        if caller.key is not None and caller.key.scope != "call":
            message = "this key seals its cell and makes no calls; send the cell's other key"
            raise RequestFailed(401, "invalid_api_key", message)
        if caller.key is None and self._guard is not None:
            self._guard.check(request.headers)
        return caller

    def _require_open(self) -> None:
        """Return if a call can be taken now."""
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

    def _exchange(  # noqa: PLR0913 - a call is put together in one place
        self,
        request: HttpRequest,
        target: Target,
        caller: Caller,
        context: CallContext,
        meter: CallMeter,
        upstream: Upstream,
        client: Callable[[Callable[[], None]], Client],
        refusal: Rejected | None,
    ) -> Exchange:
        asked, model = meter.request.injected, context.request.model
        if asked and upstream.usage_requests.accepted(model, context.started_ns) is False:
            meter.without_injection()
        headers = request_headers(as_sent(request.raw_headers))
        keep = caller.foreign_key is not None
        path_qs = upstream.prepare(headers, target.path_qs, context.endpoint, keep_credentials=keep)
        if context.endpoint != "other":
            headers["Accept-Encoding"] = "identity"
        admission = admission_request(request, caller, context)
        return Exchange(
            self._services, context, meter, admission, upstream, client, path_qs, headers, refusal
        )

    async def _run(self, exchange: Exchange, share: BodyShare) -> web.StreamResponse:
        """Run the call as a task of its own, so that it outlives a client that hangs up."""
        task = self._task(exchange, exchange.run(), share)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            exchange.client_left()
            raise
        response = exchange.client.response if isinstance(exchange.client, AiohttpClient) else None
        # Falsy in older versions of aiohttp.
        return web.Response(status=499) if response is None else response

    def _task(
        self, exchange: Exchange, running: Coroutine[Any, Any, None], share: BodyShare
    ) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(_completed(exchange, running))
        self._live[task] = exchange  # also keeps the task from being garbage collected
        task.add_done_callback(self._live.pop)
        task.add_done_callback(lambda _: share.release())
        return task


def _failed(
    request: web.BaseRequest, dialect: Dialect | None, error: RequestFailed
) -> web.Response:
    endpoint = shape_of(dialect.name if dialect else "other", request.headers)
    return web_response(endpoint, error.response)


async def _completed(exchange: Exchange, running: Coroutine[Any, Any, None]) -> None:
    """Run a call; if even its record fails, the client sees its connection break, and no other."""
    try:
        await running
    except Exception:
        log = RedactingLogger(exchange.redactor)
        log.exception("call_lost", method=exchange.client.request.method)
        exchange.client.abort()  # a head may be out already: no second one behind it


def admission_request(
    request: HttpRequest, caller: Caller, context: CallContext
) -> AdmissionRequest:
    """Return what the cell registry is asked for a call."""
    counts = context.endpoint in METERED_ENDPOINTS
    # Looking something up costs nothing. Everything else may, whether it is metered or not.
    limited = caller.key is not None and (counts or request.method not in _FREE_METHODS)
    return AdmissionRequest(
        caller.cell_id,
        context.call_id,
        context.request.request_hash,
        counts=counts,
        limits=caller.key.limits if caller.key is not None and limited else KeyLimits(),
    )
