"""Puts the proxy together, by hand, in one place."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from threading import Event
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from aiohttp import web

from cab.proxy.accounting.admission import CellRegistry, LocalCellRegistry
from cab.proxy.accounting.cell_state import CellStates
from cab.proxy.accounting.prices import price_table, trusted_prices, with_prices_read
from cab.proxy.auth import signing_keys
from cab.proxy.auth.attribution import Identifier
from cab.proxy.auth.revocations import Revocations
from cab.proxy.auth.signing_keys import KeyRing
from cab.proxy.auth.take_over import take_over_revocations, take_over_signing_keys
from cab.proxy.clock import Clock
from cab.proxy.config import ProxySettings
from cab.proxy.control.api import Control, version
from cab.proxy.control.authorization import Access, check_admin_token, metrics_token_from
from cab.proxy.control.ledger_reads import LedgerReads
from cab.proxy.control.listener import control_listener
from cab.proxy.control.metrics.labels import ModelLabels, known_models
from cab.proxy.control.metrics.process import CollectMetrics, ProcessMetrics, of_this_process
from cab.proxy.control.metrics.samples import Samples
from cab.proxy.control.metrics.sources import of_clients, of_endpoints, of_shipping, of_telemetry
from cab.proxy.control.readiness import Readiness
from cab.proxy.control.running_proxy import RunningProxy
from cab.proxy.control.sealing import Sealer, Sign, signer_from, write_checkpoint
from cab.proxy.control.telemetry.opening import running_export, secrets_of, wanted_target
from cab.proxy.control.telemetry.opening import variables_of as telemetry_variables
from cab.proxy.errors import BadConfig, LedgerFailed
from cab.proxy.forwarding.services import ProxyServices
from cab.proxy.forwarding.upstream import Upstream, Upstreams, require_route_keys
from cab.proxy.http.browser_guard import BrowserGuard
from cab.proxy.http.client_connections import ConnectionLimits, HttpServer
from cab.proxy.http.descriptors import connection_room
from cab.proxy.http.refusals import RefusalNotes
from cab.proxy.http.tls_certificate import ListenerTls, listener_context, own_client_context
from cab.proxy.ledger.capture.body_capture import opened_capture
from cab.proxy.ledger.ledger import Ledger
from cab.proxy.ledger.recovery import recover
from cab.proxy.ledger.scan import ResumePoint
from cab.proxy.ledger.snapshot.keeper import SnapshotKeeper, opened_snapshot
from cab.proxy.ledger.writer import LedgerOptions
from cab.proxy.lifecycle.inherited_sockets import NO_SOCKETS, InheritedSockets
from cab.proxy.lifecycle.lazy import import_beside
from cab.proxy.lifecycle.reload_rules import Reload, reload_of
from cab.proxy.lifecycle.reloading import ReloadableParts
from cab.proxy.lifecycle.shipping_beside import shipping_beside
from cab.proxy.logs import RedactingLogger, modules_of_lines, redacting_libraries
from cab.proxy.redaction import Redactor
from cab.proxy.server import Server
from cab.proxy.tokens.usage import Counter
from cab.scoring.timestamps import rfc3339

if TYPE_CHECKING:
    from cab.proxy.control.live.routes import LiveView
    from cab.proxy.control.telemetry.export import OtlpExport
    from cab.proxy.demo import Demo
    from cab.proxy.http.replay.endpoint import Replay
    from cab.proxy.ledger.shipping.status_file import ShippingView

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
    offer: Callable[[Callable[[], Samples]], CollectMetrics] = of_this_process
    """Takes what gives this process's metrics, and gives what collects those of all."""


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
    metrics_token: str | None
    """What reads the metrics and nothing else; None: `metrics_token_file` has it, or there is none."""
    otel: Mapping[str, str] | None
    """The variables `OTEL_*`, whose headers may hold a key; None: there are none."""
    ship_password: str | None
    """Of the database that `ship_to` names; None leaves it to a passfile."""


def secrets_from(environment: Mapping[str, str], settings: ProxySettings) -> ProxySecrets:
    """Return the secrets that an environment holds for a proxy."""
    names = {route.key_env for route in settings.routes}
    return {
        "upstream_key": environment.get(settings.upstream_key_env) or None,
        "route_keys": {name: environment[name] for name in names if name in environment},
        "signing_key": environment.get(signing_keys.ENVIRONMENT) or None,
        "admin_token": environment.get("CAB_ADMIN_TOKEN") or None,
        "metrics_token": environment.get("CAB_METRICS_TOKEN") or None,
        "otel": telemetry_variables(environment),
        "ship_password": environment.get("PGPASSWORD") or None,
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
        reload = reload_of(
            self._parts.services.settings, await asyncio.to_thread(with_prices_read, wanted)
        )
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
    clock, settings = clock or Clock(), ready_settings(settings, secrets)
    context = listener_context(settings.tls_cert_file, settings.tls_key_file)
    tls = None if context is None else ListenerTls(context)
    async with AsyncExitStack() as stack:
        demo, replay, upstream_url = await _endpoint(settings, stack)
        sign = signer_from(settings.seal_key_file)
        keeper = await _opened_keeper(settings, secrets, worker, stack)
        metrics = ProcessMetrics(ModelLabels(known_models(settings)), _begun_s(clock, worker))
        ledger = await _open_ledger(settings, clock, worker, keeper, metrics)
        life = _Life(ledger, clock, sign)
        stack.push_async_callback(life.end)
        await asyncio.to_thread(take_over_revocations, settings.ledger, settings.state_folder)
        ring, admin_token = await key_ring(secrets, settings), secrets.get("admin_token")
        metrics_token = metrics_token_from(secrets.get("metrics_token"), settings)
        keys = secrets.get("upstream_key"), secrets.get("route_keys") or {}
        upstreams = Upstreams(settings, upstream_url, *keys, price_table(settings))
        number = worker.number if worker else 0
        registry = worker.registry if worker else await open_cell_registry(settings, keeper)
        services = _services(settings, clock, ledger, upstreams, registry, number, replay, stack)
        access = _access(ring, settings, clock, admin_token, metrics_token)
        target = wanted_target(settings, secrets.get("otel") or {})
        own = admin_token, metrics_token, secrets.get("ship_password"), *secrets_of(target)
        held = Redactor([*upstreams.secrets(), *ring.secrets(), *own])
        reads = _ledger_reads(stack)
        offer = of_this_process if worker is None else worker.offer
        telemetry = await stack.enter_async_context(
            running_export(target, settings, number, clock, metrics.models.of, held)
        )
        server = _server(services, access, held, sign, reads, metrics, offer, telemetry)
        stack.enter_context(metrics.watching_loop())
        stack.enter_context(redacting_libraries(held, server.call_redactors))
        shared = worker is not None
        serving = _serving(server, services, tls, sockets.agents, metrics, shared=shared)
        host, port = await stack.enter_async_context(serving)
        url = control_url = url_of(settings, host, port)
        # Of several processes the first one has it; each of them can answer for all.
        if settings.control_apart and number == 0:
            listener = control_listener(settings, server.handle_control, tls, sockets.control)
            control_url = await stack.enter_async_context(listener)
        await life.begin(url, upstreams.default, number)
        if settings.auth == "open" and not demo and not replay and number == 0:
            log.warning("auth_is_open", message=_OPEN)
        ended = _set_on_leaving(stack)
        where = url, upstream_url, settings.ledger, demo, control_url
        # Keys and log lines need them; the port is open without them.
        stack.callback(import_beside("jwt", *modules_of_lines()))
        own_tls, identifier = own_client_context(settings.tls_cert_file), access.identifier
        whose = identifier, tls, own_tls, upstream_url if demo or replay else None
        parts = ReloadableParts(services, server, *whose)
        yield Proxy(*where, ring, clock, ended, own_tls, identifier.revocations, server, parts)


async def _opened_keeper(
    settings: ProxySettings,
    secrets: ProxySecrets,
    worker: WorkerContext | None,
    stack: AsyncExitStack,
) -> SnapshotKeeper:
    """Return the snapshot, and ship the ledger; of several processes the parent does both."""
    if worker is not None:
        return await stack.enter_async_context(opened_snapshot(None, settings.ledger))
    # It begins first, and so ends when the last line is written.
    password = secrets.get("ship_password")
    await stack.enter_async_context(shipping_beside(settings, password))
    return await stack.enter_async_context(opened_snapshot(settings.state_folder, settings.ledger))


def ready_settings(settings: ProxySettings, secrets: ProxySecrets) -> ProxySettings:
    """Return settings with prices read, and without routes where no endpoint is asked.

    Raises:
        BadConfig: The file of prices cannot be used, or the key of a route is missing.
    """
    settings = with_prices_read(settings)
    if settings.replay is not None:
        settings = settings.model_copy(update={"routes": []})
    require_route_keys(settings.routes, secrets.get("route_keys") or {})
    return settings


def _set_on_leaving(stack: AsyncExitStack) -> Event:
    event = Event()
    stack.callback(event.set)
    return event


def _ledger_reads(stack: AsyncExitStack) -> LedgerReads:
    reads = LedgerReads()
    stack.callback(reads.close)
    return reads


def _services(  # noqa: PLR0913 - it is put together in one place
    settings: ProxySettings,
    clock: Clock,
    ledger: Ledger,
    upstreams: Upstreams,
    registry: CellRegistry,
    worker: int,
    replay: "Replay | None",
    stack: AsyncExitStack,
) -> ProxyServices:
    """Return what every call uses; leaving `stack` closes it."""
    stack.push_async_callback(upstreams.close)
    counter = Counter(settings.encodings, settings.count_max_bytes, settings.count_max_s)
    stack.callback(counter.close)
    capture = opened_capture(settings, worker, clock, stack.push_async_callback)
    return ProxyServices(settings, clock, ledger, upstreams, counter, registry, capture, replay)


async def _endpoint(
    settings: ProxySettings, stack: AsyncExitStack
) -> tuple["Demo | None", "Replay | None", str]:
    """Return what takes the endpoint's place, running, and the URL that calls go to."""
    if settings.replay is not None:
        from cab.proxy.http.replay.endpoint import running_replay  # noqa: PLC0415 - as below

        replay = await stack.enter_async_context(running_replay(settings.replay))
        return None, replay, replay.url
    if settings.upstream != "demo":
        return None, None, settings.upstream
    from cab.proxy.demo import running_demo  # noqa: PLC0415 - few starts need it

    demo = await stack.enter_async_context(running_demo())
    return demo, None, demo.url


def url_of(settings: ProxySettings, host: str, port: int) -> str:
    """Return where a listener is reached."""
    scheme = "http" if settings.tls_cert_file is None else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


async def open_cell_registry(settings: ProxySettings, keeper: SnapshotKeeper) -> LocalCellRegistry:
    """Return the state of all cells as the ledger has it."""
    await keeper.start()
    cells = CellStates(keeper.snapshot)
    trusted = trusted_prices(settings)
    return LocalCellRegistry(cells, settings.slot_wait_s, settings.on_unknown, trusted)


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


def _begun_s(clock: Clock, worker: WorkerContext | None) -> float | None:
    # Of several processes the parent knows it: they may start again.
    return clock.wall_ns() / 1e9 if worker is None else None


def _access(
    ring: KeyRing,
    settings: ProxySettings,
    clock: Clock,
    admin_token: str | None,
    metrics_token: str | None,
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
    own = [settings.host, *([settings.control_host] if settings.control_host else [])]
    guard = BrowserGuard([*own, *settings.allowed_hosts], settings.allowed_origins)
    return Access(identifier, clock, checked, guard, metrics_token)


def _server(  # noqa: PLR0913 - it is put together in one place
    services: ProxyServices,
    access: Access,
    held: Redactor,
    sign: Sign,
    reads: LedgerReads,
    metrics: ProcessMetrics,
    offer: Callable[[Callable[[], Samples]], CollectMetrics],
    telemetry: "OtlpExport | None",
) -> Server:
    registry, ledger, settings = services.registry, services.ledger, services.settings
    sealer = Sealer(registry, ledger, services.clock, sign, reads)

    def stopping() -> bool:
        return server.stopping

    live = cache(partial(_live_view, services, access, stopping))
    metrics.add_source(partial(of_endpoints, services.upstreams.connections))
    if telemetry is not None:
        metrics.add_source(partial(of_telemetry, telemetry))
    refusals = RefusalNotes(metrics.refused, services.warnings)
    offered, readiness = offer(metrics.samples), Readiness(services.upstreams.addresses)
    parts = registry, ledger, sealer, access, reads, live, services.capture, telemetry
    control = Control(
        *parts,
        _shipping_view(settings),
        offered,
        refusals,
        stopping,
        readiness,
        settings.body_progress_timeout_s,
    )
    identifier, models, guard = access.identifier, metrics.models, access.guard
    server: Server = Server(services, identifier, control, held, guard, models, refusals)
    return server


def _shipping_view(settings: ProxySettings) -> "ShippingView | None":
    if settings.ship_to is None:
        return None
    from cab.proxy.ledger.shipping.status_file import ShippingView  # noqa: PLC0415 - few ship

    return ShippingView(settings.ledger)


def _live_view(services: ProxyServices, access: Access, stopping: Callable[[], bool]) -> "LiveView":
    # Most proxies are never looked at: nothing of this is loaded before somebody does.
    from cab.proxy.control.live.access import LiveAccess  # noqa: PLC0415
    from cab.proxy.control.live.feed import LiveFeed  # noqa: PLC0415
    from cab.proxy.control.live.routes import LiveView  # noqa: PLC0415

    feed = LiveFeed(services.ledger.folder, services.clock, services.registry)
    return LiveView(feed, LiveAccess(access, services.settings.state_folder), stopping)


@asynccontextmanager
async def _serving(  # noqa: PLR0913 - as above
    server: Server,
    services: ProxyServices,
    tls: ListenerTls | None,
    inherited: socket.socket | None,
    metrics: ProcessMetrics,
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
    metrics.add_source(partial(of_clients, http))
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
    metrics: ProcessMetrics,
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
    metrics.watch_ledger(ledger)
    # Of several processes one tells how shipping goes: metrics are added up.
    if number == 0 and (shipping := _shipping_view(settings)) is not None:
        metrics.add_source(partial(of_shipping, shipping))
    if worker is None:
        # Other workers' chains, from a run with more of them: their calls must end as well.
        await asyncio.to_thread(recover, settings.ledger, clock, points, skip_busy=True)
    return ledger


class _Life:
    """Records and logs that this process has started, and that it has stopped."""

    def __init__(self, ledger: Ledger, clock: Clock, sign: Sign) -> None:
        self._ledger = ledger
        self._clock = clock
        self._sign = sign
        self._started: dict[str, Any] = {}

    async def begin(self, url: str, upstream: Upstream, worker: int) -> None:
        started = self._started = {
            "url": url,
            "upstream": upstream.base.authority,
            "price_table": upstream.prices.table_source,
            "cab_version": version(),
            "pid": os.getpid(),
            "worker": worker,
        }
        await self._append("proxy_start", **started)
        log.info("started", **started)
        await write_checkpoint(self._ledger, self._clock, self._sign)

    async def end(self) -> None:
        await write_checkpoint(self._ledger, self._clock, self._sign)
        with contextlib.suppress(LedgerFailed):
            await self._append("proxy_stop")
        await self._ledger.close()
        if self._started:
            log.info("stopped", **self._started)

    def _append(self, kind: str, **members: Any) -> asyncio.Future[None]:  # noqa: ANN401 - JSON
        at = rfc3339(self._clock.wall_ns())
        return self._ledger.append({"kind": kind, "at": at, **members})


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
