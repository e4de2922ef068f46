"""Puts the proxy together, by hand, in one place."""

import asyncio
import contextlib
import importlib.metadata
import os
import socket
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from threading import Event
from typing import TYPE_CHECKING, TypedDict, Unpack

from aiohttp import web

from cab.proxy.accounting.admission import CellRegistry, LocalCellRegistry
from cab.proxy.accounting.cell_state import CellStates
from cab.proxy.auth import signing_keys
from cab.proxy.auth.attribution import Identifier
from cab.proxy.auth.revocations import Revocations
from cab.proxy.auth.signing_keys import KeyRing
from cab.proxy.auth.take_over import take_over_revocations, take_over_signing_keys
from cab.proxy.clock import Clock
from cab.proxy.config import ProxySettings
from cab.proxy.control.api import Control
from cab.proxy.control.authorization import Access, check_admin_token
from cab.proxy.control.ledger_reads import LedgerReads
from cab.proxy.control.listener import control_listener
from cab.proxy.control.readiness import Readiness
from cab.proxy.control.running_proxy import RunningProxy
from cab.proxy.control.sealing import Sealer, Sign, signer_from, write_checkpoint
from cab.proxy.errors import BadConfig, LedgerFailed
from cab.proxy.forwarding.services import ProxyServices
from cab.proxy.forwarding.upstream import Upstreams, require_route_keys
from cab.proxy.http.browser_guard import BrowserGuard
from cab.proxy.http.client_connections import ConnectionLimits, HttpServer
from cab.proxy.http.descriptors import connection_room
from cab.proxy.http.tls_certificate import ListenerTls, listener_context, own_client_context
from cab.proxy.ledger.ledger import Ledger
from cab.proxy.ledger.recovery import recover
from cab.proxy.ledger.scan import ResumePoint
from cab.proxy.ledger.snapshot.keeper import SnapshotKeeper, opened_snapshot
from cab.proxy.ledger.writer import LedgerOptions
from cab.proxy.lifecycle.inherited_sockets import NO_SOCKETS, InheritedSockets
from cab.proxy.lifecycle.lazy import import_beside
from cab.proxy.lifecycle.reload_rules import Reload, reload_of
from cab.proxy.lifecycle.reloading import ReloadableParts
from cab.proxy.logs import RedactingLogger, redacting_libraries
from cab.proxy.redaction import Redactor
from cab.proxy.server import Server
from cab.proxy.tokens.usage import Counter
from cab.scoring.timestamps import rfc3339

if TYPE_CHECKING:
    from cab.proxy.control.live.routes import LiveView

_HEAD_BYTES = 1 << 16
"""Longest request line or header field; aiohttp's 8 KiB is short for keys and tracing headers."""

_OPEN = (
    "calls without a cell's key are accepted, so that an agent can leave its key and its limits out; "
    "limits bind only with auth = 'keys'"
)

log = RedactingLogger()


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What makes a proxy one of several processes on one port."""

    number: int
    """Number of its chain in the ledger."""
    registry: CellRegistry
    """The state of all cells, which the processes share."""
    resume: ResumePoint | None = None
    """Where the recovery of its chain may begin to read."""


class ProxySecrets(TypedDict, total=False):
    """What a proxy must know and its settings must not hold; a missing one is as None."""

    upstream_key: str | None
    """The endpoint's key; None passes the clients' own keys on."""
    route_keys: Mapping[str, str] | None
    """Names of environment variables to keys, for the endpoints of `routes`."""
    signing_key: str | None
    """Secrets that cell keys are signed with, as `CAB_SIGNING_KEY` holds them; None keeps one in the
    state folder."""
    admin_token: str | None
    """What the admin of the control API sends; None: there is no admin."""


def secrets_from(environment: Mapping[str, str], settings: ProxySettings) -> ProxySecrets:
    """Return the secrets that an environment holds for a proxy."""
    names = {route.key_env for route in settings.routes}
    return {
        "upstream_key": environment.get(settings.upstream_key_env) or None,
        "route_keys": {name: environment[name] for name in names if name in environment},
        "signing_key": environment.get(signing_keys.ENVIRONMENT) or None,
        "admin_token": environment.get("CAB_ADMIN_TOKEN") or None,
    }


@dataclass(frozen=True, slots=True)
class Proxy(RunningProxy):
    """A running proxy of one process."""

    _server: Server
    _parts: ReloadableParts

    async def reload(self, wanted: ProxySettings, secrets: ProxySecrets) -> Reload:
        """Take over settings and keys that were read once more, as far as that goes while the proxy runs.

        Calls in flight go on as they began.

        Args:
            wanted: The settings.
            secrets: The keys; the admin's token stays as it is.

        Returns:
            What has changed, and what needs a restart.

        Raises:
            BadConfig: Something cannot be used; nothing has changed then.
        """
        reload = reload_of(self._parts.services.settings, wanted)
        await self.apply(reload.settings, secrets)
        return reload

    async def apply(self, settings: ProxySettings, secrets: ProxySecrets) -> None:
        """Take over settings in which nothing is changed that needs a restart; see `reload`."""
        keys = secrets.get("upstream_key"), secrets.get("route_keys") or {}
        require_route_keys(settings.routes, keys[1])
        ring = await key_ring(secrets, settings)
        await self._parts.apply(self._parts.prepare(settings, *keys, ring))

    async def quiet(self, limit_s: float) -> bool:
        """Wait until no call is in flight; return whether that came true within the limit."""
        return await self._server.quiet(limit_s)


@asynccontextmanager
async def running_proxy(
    settings: ProxySettings,
    *,
    clock: Clock | None = None,
    worker: WorkerContext | None = None,
    sockets: InheritedSockets = NO_SOCKETS,
    **secrets: Unpack[ProxySecrets],
) -> AsyncGenerator[Proxy]:
    """Run a proxy on this event loop; on leaving, calls in flight finish within the grace time.

    Args:
        settings: What to run.
        clock: Time; an argument so that tests can hand in theirs.
        worker: Which of several processes it is; None runs it alone, whatever `workers` says.
        sockets: Listen already, in place of what the settings name.
        secrets: Keys that the settings do not hold.

    Raises:
        BadConfig: The ledger cannot be written, the port is taken, or the signing key is short.
    """
    clock = clock or Clock()
    require_route_keys(settings.routes, secrets.get("route_keys") or {})
    context = listener_context(settings.tls_cert_file, settings.tls_key_file)
    tls = None if context is None else ListenerTls(context)
    async with AsyncExitStack() as stack:
        demo = None
        if settings.upstream == "demo":
            from cab.proxy.demo import running_demo  # noqa: PLC0415 - few starts need it

            demo = await stack.enter_async_context(running_demo())
        upstream_url = demo.url if demo else settings.upstream
        sign = signer_from(settings.seal_key_file)
        # Of several processes the parent keeps the cells, and so the snapshot.
        state = None if worker else settings.state_folder
        keeper = await stack.enter_async_context(opened_snapshot(state, settings.ledger))
        ledger = await _open_ledger(settings, clock, worker, keeper)
        stack.push_async_callback(_close, ledger, clock, sign)
        await asyncio.to_thread(take_over_revocations, settings.ledger, settings.state_folder)
        ring, admin_token = await key_ring(secrets, settings), secrets.get("admin_token")
        keys = secrets.get("upstream_key"), secrets.get("route_keys") or {}
        upstreams = Upstreams(settings, upstream_url, *keys)
        stack.push_async_callback(upstreams.close)
        counter = Counter(settings.encodings, settings.count_max_bytes, settings.count_max_s)
        stack.callback(counter.close)
        registry = worker.registry if worker else await open_cell_registry(settings, keeper)
        services = ProxyServices(settings, clock, ledger, upstreams, counter, registry)
        access = _access(ring, settings, clock, admin_token)
        held = Redactor([*upstreams.secrets(), *ring.secrets(), admin_token])
        reads = LedgerReads()
        stack.callback(reads.close)
        server = _server(services, access, held, sign, reads)
        stack.enter_context(redacting_libraries(held, server.call_redactors))
        serving = _serving(server, services, tls, sockets.agents, shared=worker is not None)
        host, port = await stack.enter_async_context(serving)
        url = control_url = url_of(settings, host, port)
        # Of several processes the first one has it; each of them can answer for all.
        if settings.control_apart and (worker is None or worker.number == 0):
            listener = control_listener(settings, server.handle_control, tls, sockets.control)
            control_url = await stack.enter_async_context(listener)
        await ledger.append(
            {
                "kind": "proxy_start",
                "at": rfc3339(clock.wall_ns()),
                "url": url,
                "upstream": upstreams.default.base.authority,
                "cab_version": importlib.metadata.version("coding-agent-bench"),
                "pid": os.getpid(),
                "worker": worker.number if worker else 0,
            }
        )
        await write_checkpoint(ledger, clock, sign)
        if settings.auth == "open" and not demo and (worker is None or worker.number == 0):
            log.warning("auth_is_open", message=_OPEN)
        ended = Event()
        stack.callback(ended.set)
        where = url, upstream_url, settings.ledger, demo, control_url
        # Keys and log lines need them; the port is open without them.
        stack.callback(import_beside("jwt", "structlog"))
        own_tls = own_client_context(settings.tls_cert_file)
        identifier, demo_url = access.identifier, demo.url if demo else None
        parts = ReloadableParts(services, server, identifier, tls, own_tls, demo_url)
        yield Proxy(*where, ring, clock, ended, own_tls, identifier.revocations, server, parts)


def url_of(settings: ProxySettings, host: str, port: int) -> str:
    """Return where a listener is reached."""
    scheme = "http" if settings.tls_cert_file is None else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


async def open_cell_registry(settings: ProxySettings, keeper: SnapshotKeeper) -> LocalCellRegistry:
    """Return the state of all cells as the ledger has it."""
    await keeper.start()
    cells = CellStates(keeper.snapshot)
    return LocalCellRegistry(cells, settings.slot_wait_s, settings.on_unknown)


async def key_ring(secrets: ProxySecrets, settings: ProxySettings) -> KeyRing:
    """Return the signing keys: those given, else those of the file, which is made if missing.

    Raises:
        BadConfig: They cannot be read, or are too short.
    """
    if (given := secrets.get("signing_key")) is not None:
        return signing_keys.parse_signing_keys(given)
    return await asyncio.to_thread(_kept_keys, settings)


def _kept_keys(settings: ProxySettings) -> KeyRing:
    folder, file = settings.state_folder, settings.signing_key_file
    if file is None:
        take_over_signing_keys(settings.ledger, folder)
        file = folder / signing_keys.FILE_NAME
    return signing_keys.load_or_create_signing_keys(file)


def _access(
    ring: KeyRing, settings: ProxySettings, clock: Clock, admin_token: str | None
) -> Access:
    identifier = Identifier(
        ring,
        Revocations(settings.state_folder),
        settings.auth == "keys",
        settings.open_attribution,
        settings.cell,
    )
    checked = check_admin_token(admin_token) if admin_token else None
    # Those who can connect to the address that it listens on may name it.
    guard = BrowserGuard([settings.host, *settings.allowed_hosts], settings.allowed_origins)
    return Access(identifier, clock, checked, guard)


def _server(
    services: ProxyServices, access: Access, held: Redactor, sign: Sign, reads: LedgerReads
) -> Server:
    registry, ledger, settings = services.registry, services.ledger, services.settings
    sealer = Sealer(registry, ledger, services.clock, sign, reads)

    def stopping() -> bool:
        return server.stopping

    live = cache(partial(_live_view, services, access, stopping))
    parts = registry, ledger, sealer, access, reads, live
    readiness = Readiness(services.upstreams.addresses)
    control = Control(*parts, stopping, readiness, settings.body_progress_timeout_s)
    server: Server = Server(services, access.identifier, control, held, access.guard)
    return server


def _live_view(services: ProxyServices, access: Access, stopping: Callable[[], bool]) -> "LiveView":
    # Most proxies are never looked at: nothing of this is loaded before somebody does.
    from cab.proxy.control.live.access import LiveAccess  # noqa: PLC0415
    from cab.proxy.control.live.feed import LiveFeed  # noqa: PLC0415
    from cab.proxy.control.live.routes import LiveView  # noqa: PLC0415

    feed = LiveFeed(services.ledger.folder, services.clock)
    return LiveView(feed, LiveAccess(access, services.settings.state_folder), stopping)


@asynccontextmanager
async def _serving(
    server: Server,
    services: ProxyServices,
    tls: ListenerTls | None,
    inherited: socket.socket | None,
    *,
    shared: bool,
) -> AsyncGenerator[tuple[str, int]]:
    """Listen, and on leaving refuse new calls and let those in flight finish."""
    settings = services.settings
    # The built-in model server is in this process too.
    room = connection_room(settings.max_connections, 3 if settings.upstream == "demo" else 2)
    http = HttpServer(
        server.handle,
        ConnectionLimits(room.connections, settings.head_timeout_s),
        server.open_calls,
        server.serve if settings.wire == "direct" else None,
        tls,
        handler_cancellation=True,  # how a client that hangs up is noticed at once
        auto_decompress=False,  # request bodies pass as they are
        max_line_size=_HEAD_BYTES,
        max_field_size=_HEAD_BYTES,
    )
    runner = web.ServerRunner(http, shutdown_timeout=1)  # all calls have ended by then
    await runner.setup()
    try:
        yield await _listen(runner, settings, room.backlog, inherited, shared=shared)
    finally:
        grace_s = services.settings.grace_s
        end_s = time.monotonic() + grace_s
        await server.stop(grace_s)
        await http.send_rest(max(0.0, end_s - time.monotonic()))
        await runner.cleanup()


async def _open_ledger(
    settings: ProxySettings,
    clock: Clock,
    worker: WorkerContext | None,
    keeper: SnapshotKeeper,
) -> Ledger:
    points = await asyncio.to_thread(keeper.snapshot.resume_points)
    options = LedgerOptions(
        resume=worker.resume if worker else points.get(0),
        segment_max_bytes=settings.segment_max_bytes,
        segment_max_s=settings.segment_max_s,
        min_free_bytes=settings.min_free_bytes,
        on_failure=settings.on_ledger_failure,
    )
    number = worker.number if worker else 0
    ledger = Ledger(settings.ledger, worker=number, options=options, clock=clock)
    if worker is None:
        # Other workers' chains, from a run with more of them: their calls must end as well.
        await asyncio.to_thread(recover, settings.ledger, clock, points, skip_busy=True)
    return ledger


async def _close(ledger: Ledger, clock: Clock, sign: Sign) -> None:
    await write_checkpoint(ledger, clock, sign)
    with contextlib.suppress(LedgerFailed):
        await ledger.append({"kind": "proxy_stop", "at": rfc3339(clock.wall_ns())})
    await ledger.close()


async def _listen(
    runner: web.ServerRunner,
    settings: ProxySettings,
    backlog: int,
    inherited: socket.socket | None,
    *,
    shared: bool,
) -> tuple[str, int]:
    where = settings.host, settings.port
    site: web.TCPSite | web.SockSite
    if inherited is None:
        site = web.TCPSite(runner, *where, backlog=backlog, reuse_port=shared or None)
    else:
        site = web.SockSite(runner, inherited, backlog=backlog)
    try:
        await site.start()
    except OSError as error:
        raise cannot_listen(settings.host, settings.port, error) from error
    host, port = runner.addresses[0][:2]
    return str(host), int(port)


def cannot_listen(host: str, port: int, error: OSError) -> BadConfig:
    """Return the error of a port that cannot be had."""
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return BadConfig(
        f"cannot listen on {host} port {port}: {reason.lower()}; "
        "stop what listens there, or give another port (0 takes a free one)"
    )
