"""Several processes on one port: the parent starts them, keeps the cell registry, and ends them.

Each worker writes a chain of its own, `w0` to `wN-1`. One that dies is started again as soon as its
chain has been recovered; meanwhile the others go on, and its calls count as in flight.
"""

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Unpack

from cab.proxy.accounting.admission import LocalCellRegistry
from cab.proxy.accounting.prices import trusted_prices, with_prices_read
from cab.proxy.app import (
    ProxySecrets,
    cannot_listen,
    key_ring,
    open_cell_registry,
    ready_settings,
    url_of,
)
from cab.proxy.auth.revocations import Revocations
from cab.proxy.auth.take_over import take_over_revocations
from cab.proxy.clock import Clock
from cab.proxy.config import ProxySettings
from cab.proxy.control.authorization import metrics_token_from
from cab.proxy.control.running_proxy import RunningProxy
from cab.proxy.control.telemetry.opening import secrets_of, wanted_target
from cab.proxy.forwarding.upstream import Upstreams, require_route_keys
from cab.proxy.http.tls_certificate import (
    listener_context,
    own_client_context,
    trust_certificate,
)
from cab.proxy.ledger.recovery import naming_ledger, recover
from cab.proxy.ledger.segments import make_folder
from cab.proxy.ledger.snapshot.keeper import SnapshotKeeper, opened_snapshot
from cab.proxy.lifecycle.inherited_sockets import NO_SOCKETS, InheritedSockets
from cab.proxy.lifecycle.reload_rules import Reload, reload_of
from cab.proxy.lifecycle.shipping_beside import shipping_beside
from cab.proxy.logs import RedactingLogger, redacting_libraries
from cab.proxy.redaction import Redactor
from cab.proxy.workers.processes import WorkerConfiguration, WorkerProcesses

log = RedactingLogger()


@dataclass(frozen=True, slots=True)
class MultiProcessProxy(RunningProxy):
    """A running proxy of several processes."""

    workers: WorkerProcesses
    _state: "_ParentState"

    async def reload(self, wanted: ProxySettings, secrets: ProxySecrets) -> Reload:
        """Take over settings and keys that were read once more, in all workers; see `Proxy.reload`.

        Raises:
            BadConfig: Something cannot be used; nothing has changed then.
        """
        state = self._state
        reload = reload_of(state.settings, await asyncio.to_thread(with_prices_read, wanted))
        settings, keys = reload.settings, secrets.get("route_keys") or {}
        require_route_keys(settings.routes, keys)
        cert = settings.tls_cert_file
        listener_context(cert, settings.tls_key_file)
        url = self.demo.url if self.demo else settings.upstream
        upstreams = Upstreams(settings, url, secrets.get("upstream_key"), keys)
        await upstreams.close()
        self._ring.keys = (await key_ring(secrets, settings)).keys
        held = [*upstreams.secrets(), *self._ring.secrets()]
        # What was a secret stays one: a log line may still show it.
        state.redactors[:] = [state.redactors[0].and_holding(held)]
        if self._tls is not None and cert is not None:
            trust_certificate(self._tls, cert)
        state.registry.set_rules(
            settings.slot_wait_s, settings.on_unknown, trusted_prices(settings)
        )
        state.settings = settings
        where = {"port": state.port, "upstream": url}
        await self.workers.reload(settings.model_copy(update=where), secrets)
        return reload


@dataclass(slots=True)
class _ParentState:
    """What the parent of the workers goes by."""

    settings: ProxySettings
    registry: LocalCellRegistry
    port: int
    redactors: list[Redactor]


@asynccontextmanager
async def running_workers(
    settings: ProxySettings,
    *,
    clock: Clock | None = None,
    kill_after_s: float = 10.0,
    watchdog_s: float | None = None,
    sockets: InheritedSockets = NO_SOCKETS,
    **secrets: Unpack[ProxySecrets],
) -> AsyncGenerator[MultiProcessProxy]:
    """Run `settings.workers` processes; on leaving, calls in flight finish within the grace time.

    Args:
        settings: What to run.
        clock: Time; an argument so that tests can hand in theirs.
        kill_after_s: How long after the grace time a worker that has not stopped is killed.
        watchdog_s: How long a worker may say nothing before it is killed and started again; None: for ever.
        sockets: Listen already, in place of what the settings name.
        secrets: Keys that the settings do not hold.

    Raises:
        BadConfig: The ledger cannot be written, the port is taken, or a worker cannot start.
    """
    clock, settings = clock or Clock(), ready_settings(settings, secrets)
    if sys.platform != "linux":
        log.warning("workers_not_spread", fix="only Linux spreads connections; set workers to 1")
    listener_context(cert := settings.tls_cert_file, settings.tls_key_file)
    async with AsyncExitStack() as stack:
        password = secrets.get("ship_password")
        await stack.enter_async_context(shipping_beside(settings, password))
        keeper = await stack.enter_async_context(
            opened_snapshot(settings.state_folder, settings.ledger)
        )
        await asyncio.to_thread(_prepared, settings, clock, keeper)
        ring = await key_ring(secrets, settings)
        keys = secrets.get("upstream_key"), *(secrets.get("route_keys") or {}).values()
        metrics_token = metrics_token_from(secrets.get("metrics_token"), settings)
        receiver = secrets_of(wanted_target(settings, secrets.get("otel") or {}))
        tokens = secrets.get("admin_token"), metrics_token, password, *receiver
        held = Redactor([*keys, *ring.secrets(), *tokens])
        redactors = [held]
        stack.enter_context(redacting_libraries(held, lambda: redactors))
        demo = None
        if settings.upstream == "demo":
            from cab.proxy.demo import running_demo  # noqa: PLC0415 - few starts need it

            demo = await stack.enter_async_context(running_demo())
        host, port = stack.enter_context(_reserved(settings, sockets))
        upstream_url = demo.url if demo else settings.upstream
        shared = settings.model_copy(update={"port": port, "upstream": upstream_url})
        registry = await open_cell_registry(settings, keeper)
        points = await asyncio.to_thread(keeper.snapshot.resume_points)
        configuration = WorkerConfiguration(shared, secrets, points, sockets)
        workers = WorkerProcesses(configuration, registry, clock, kill_after_s)
        control_url = await stack.enter_async_context(workers.running(watchdog_s))
        ended = Event()
        stack.callback(ended.set)
        where = url_of(settings, host, port), upstream_url, settings.ledger, demo, control_url
        own_tls, revocations = own_client_context(cert), Revocations(settings.state_folder)
        state = _ParentState(settings, registry, port, redactors)
        yield MultiProcessProxy(*where, ring, clock, ended, own_tls, revocations, workers, state)


def _prepared(settings: ProxySettings, clock: Clock, keeper: SnapshotKeeper) -> None:
    """Bring all chains in order, those of workers that are no more too."""
    with naming_ledger(settings.ledger):
        make_folder(settings.ledger)
    recover(settings.ledger, clock, keeper.snapshot.resume_points())
    take_over_revocations(settings.ledger, settings.state_folder)


@contextmanager
def _reserved(settings: ProxySettings, sockets: InheritedSockets) -> Generator[tuple[str, int]]:
    """Hold a port that the workers can share, and nobody else listens on."""
    if sockets.agents is not None:
        address = sockets.agents.getsockname()
        yield str(address[0]), int(address[1])
        return
    host, port = settings.host, settings.port
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            # Without SO_REUSEPORT: a port that another proxy's workers share is taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            address = probe.getsockname()
        with socket.socket(family, kind) as held:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind(address)
            yield str(address[0]), int(address[1])
    except OSError as error:
        raise cannot_listen(host, port, error) from error
