"""Upgrades to WebSocket: which of them become a connection, and which are refused.

Every refusal is a 426, whatever its cause: codex sends its call as POST at once then, and gets the
status of the cause there. On a 400 it gives up, on others it tries six times more.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import NoReturn
from urllib.parse import parse_qs

from aiohttp import web

from cab.proxy.accounting.admission import AdmissionRequest
from cab.proxy.auth.attribution import Caller, Target
from cab.proxy.forwarding.body_budget import BodyBudget, BodyShare
from cab.proxy.forwarding.services import ProxyServices
from cab.proxy.forwarding.upstream import Upstream
from cab.proxy.forwarding.websocket.asking import Asking
from cab.proxy.forwarding.websocket.calls import ConnectionCalls, Upgrade
from cab.proxy.forwarding.websocket.connection import Connection
from cab.proxy.forwarding.websocket.handshake import (
    LIMIT_S,
    NoWebSocket,
    UpgradeOffer,
    answered_headers,
    connect,
)
from cab.proxy.forwarding.websocket.relaying import Relaying
from cab.proxy.forwarding.websocket.response_call import ResponseCall
from cab.proxy.forwarding.websocket.sockets import (
    ClientSocket,
    Closing,
    ForwardedWebSocket,
    UpstreamSocket,
)
from cab.proxy.http.error_responses import RequestFailed
from cab.proxy.http.headers import TRACEPARENT, only_value
from cab.proxy.ledger.call_records import CallContext
from cab.proxy.logs import RedactingLogger
from cab.proxy.meter import Dialect, dialect_for
from cab.proxy.meter.dialects.paths import plain_path
from cab.proxy.redaction import Redactor

CONNECTION_ID_HEADER = "x-cab-connection-id"

Identify = Callable[[], Caller]
Admission = Callable[[Caller, CallContext], AdmissionRequest]


def is_upgrade(request: web.BaseRequest) -> bool:
    """Return whether a request asks for a WebSocket."""
    return request.headers.get("Upgrade", "").strip().lower() == "websocket"


class Upgrades:
    """Makes connections of upgrades, and ends them.

    Args:
        services: What every call uses.
        bodies: What clients' messages come to together, with the bodies of HTTP calls.
        require_open: Raises `RequestFailed` while the proxy takes no calls.
    """

    def __init__(
        self, services: ProxyServices, bodies: BodyBudget, require_open: Callable[[], None]
    ) -> None:
        self._services = services
        self._bodies = bodies
        self._require_open = require_open
        self._connections: dict[asyncio.Task[None], tuple[Connection, Redactor]] = {}
        self._retiring = False
        self.calls: dict[asyncio.Task[None], ResponseCall] = {}
        """Calls under way."""

    @property
    def open_connections(self) -> int:
        """How many WebSockets are open to endpoints."""
        return len(self._connections)

    def redactors(self) -> tuple[Redactor, ...]:
        """Return what redacts the secrets of the connections."""
        return tuple(redactor for _, redactor in tuple(self._connections.values()))

    def retire(self) -> None:
        """Let each connection end once no response is under way on it."""
        self._retiring = True
        for connection, _ in self._connections.values():
            connection.retire()

    def stop(self) -> None:
        """End each call and each connection now."""
        for call in self.calls.values():
            call.stop()
        for connection, _ in self._connections.values():
            connection.stop()

    async def ended(self) -> None:
        """Wait until no connection is open."""
        if self._connections:
            await asyncio.wait(self._connections)

    async def serve(
        self,
        request: web.BaseRequest,
        target: Target,
        redactor: Redactor,
        identify: Identify,
        admission: Admission,
    ) -> web.StreamResponse:
        """Answer an upgrade, and serve the connection if there is one.

        Raises:
            RequestFailed: There is none; always a 426.
        """
        dialect = _dialect(request, target)
        caller = self._caller(identify)
        model = next(iter(parse_qs(target.path_qs.partition("?")[2]).get("model", ())), None)
        upstream = self._upstream(model)
        offer = UpgradeOffer.of(request)
        keep = caller.foreign_key is not None
        path_qs = upstream.prepare(
            offer.headers, target.path_qs, dialect.name, keep_credentials=keep
        )
        end = await self._connect(upstream, path_qs, model, offer)
        upgrade = Upgrade(
            dialect,
            target.path_qs,
            request.remote,
            request.headers.get("User-Agent"),
            only_value(request.headers, TRACEPARENT),
            redactor,
            upstream,
            identify,
            self._require_open,
            admission,
            self.calls,
            self._bodies.large_reads,
        )
        calls = ConnectionCalls(self._services, upgrade)
        client = await self._prepared(request, end, calls.connection_id, caller.payer)
        parts = client, end, Asking(calls, client, end)
        relaying = Relaying(self._services, calls, client, end)
        return await self._run(
            Connection(self._services, calls, *parts, relaying), client, redactor
        )

    def _caller(self, identify: Identify) -> Caller:
        try:
            self._require_open()
            return identify()
        except RequestFailed as error:
            _refuse(error.response.code, error.response.message)

    def _upstream(self, model: str | None) -> Upstream:
        """Return the endpoint, which must not depend on a model that is not known yet."""
        upstream = self._services.upstreams.for_connection(model)
        if upstream is None:
            message = "which endpoint serves a call depends on its model; send the request as POST"
            _refuse("upgrade_refused", message)
        if upstream.refused_websockets.recently(self._services.clock.mono_ns()):
            message = f"{upstream.base.authority}: the endpoint does not speak WebSocket"
            _refuse("websocket_unsupported", message)
        return upstream

    async def _connect(
        self, upstream: Upstream, path_qs: str, model: str | None, offer: UpgradeOffer
    ) -> UpstreamSocket:
        settings, now_ns = self._services.settings, self._services.clock.mono_ns
        try:
            return await connect(
                upstream,
                path_qs,
                model,
                offer,
                max_message_bytes=settings.max_request_bytes,
                limit_s=min(LIMIT_S, settings.headers_timeout_s or LIMIT_S),
            )
        except NoWebSocket as error:
            if error.is_clear:
                upstream.refused_websockets.note(now_ns())
            RedactingLogger().info("websocket_refused", reason=str(error))
            _refuse(error.code, f"{error}; send the request as POST")

    async def _prepared(
        self, request: web.BaseRequest, end: UpstreamSocket, connection_id: str, payer: str | None
    ) -> ClientSocket:
        """Pass the endpoint's agreement on to the client."""
        protocol, settings = end.socket.protocol, self._services.settings
        socket = ForwardedWebSocket(
            partial(BodyShare, self._bodies, payer),
            settings.max_request_bytes,
            settings.body_progress_timeout_s,
            (protocol,) if protocol else (),
        )
        socket.headers.extend(answered_headers(end.answer))
        socket.headers[CONNECTION_ID_HEADER] = connection_id
        try:
            await socket.prepare(request)
        except BaseException:
            await end.close(Closing(None))
            raise
        return ClientSocket(request, socket)

    async def _run(
        self, connection: Connection, client: ClientSocket, redactor: Redactor
    ) -> web.StreamResponse:
        """Run the connection as a task of its own, so that it outlives a client that hangs up."""
        task = asyncio.get_running_loop().create_task(connection.run())
        self._connections[task] = connection, redactor
        if self._retiring:  # the proxy may have begun to stop during the handshake
            connection.retire()
        task.add_done_callback(self._connections.pop)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            connection.client_left()
            raise
        return client.socket


def _dialect(request: web.BaseRequest, target: Target) -> Dialect:
    """Return the dialect of a connection.

    Raises:
        RequestFailed: This path, or this handshake, makes no metered connection.
    """
    path = target.path_qs.partition("?")[0]
    dialect = dialect_for("POST", path)
    metered = dialect is not None and plain_path(path).lower().endswith("/responses")
    if dialect is None or not metered or request.method != "GET":
        _refuse("upgrade_refused", "WebSocket is not metered here; send the request as POST")
    if not web.WebSocketResponse(protocols=UpgradeOffer.of(request).protocols).can_prepare(request):
        _refuse("bad_handshake", "the handshake is not one of WebSocket version 13")
    return dialect


def _refuse(code: str, message: str) -> NoReturn:
    raise RequestFailed(426, code, message)
