"""Puts the proxy together, by hand, in one place."""

import asyncio
import contextlib
import importlib.metadata
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from cab.proxy.accounting.admission import CellRegistry, LocalCellRegistry
from cab.proxy.accounting.cell_state import CellStates
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.auth import cell_keys
from cab.proxy.auth.attribution import Identifier
from cab.proxy.auth.revocations import Revocations
from cab.proxy.auth.signing_keys import KeyRing, load_or_create_signing_keys, parse_signing_keys
from cab.proxy.clock import Clock
from cab.proxy.config import ProxySettings
from cab.proxy.control.api import Control
from cab.proxy.control.authorization import Access, check_admin_token
from cab.proxy.control.listener import control_listener
from cab.proxy.control.sealing import Sealer, signer_from
from cab.proxy.demo import Demo, running_demo
from cab.proxy.errors import BadConfig, LedgerFailed
from cab.proxy.forwarding.exchange import ProxyServices
from cab.proxy.forwarding.upstream import Upstreams
from cab.proxy.ledger.ledger import Ledger
from cab.proxy.ledger.recovery import recover
from cab.proxy.ledger.writer import LedgerOptions
from cab.proxy.redaction import IN_PLAY, worth_hiding
from cab.proxy.server import Server
from cab.proxy.tokens.usage import Counter
from cab.scoring.timestamps import rfc3339

_HEAD_BYTES = 1 << 16
"""Longest request line or header field; aiohttp's 8 KiB is short for keys and tracing headers."""


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What makes a proxy one of several processes on one port."""

    number: int
    """Number of its chain in the ledger."""
    book: CellRegistry
    """The book of all of them."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy."""

    url: str
    """Where it listens, without `/v1`."""
    upstream_url: str
    """Where it forwards to."""
    ledger_dir: Path
    """Where its records are."""
    demo: Demo | None
    """The built-in model server, where that is the upstream."""
    control_url: str
    """Where the control API is: `url`, or its own address."""
    _ring: KeyRing
    _clock: Clock
    _server: Server

    def mint_key(self, cell_id: str, ttl_s: int, limits: KeyLimits | None = None) -> str:
        """Return a key for a cell that expires after `ttl_s` seconds."""
        return mint_for(self._ring, self._clock, cell_id, ttl_s, limits)

    async def quiet(self, limit_s: float) -> bool:
        """Wait until no call is in flight; return whether that came true within the limit."""
        return await self._server.quiet(limit_s)


@asynccontextmanager
async def running_proxy(  # noqa: PLR0913 - what is not in the settings: secrets, time, place
    settings: ProxySettings,
    *,
    upstream_key: str | None = None,
    route_keys: Mapping[str, str] | None = None,
    signing_key: str | None = None,
    admin_token: str | None = None,
    clock: Clock | None = None,
    place: WorkerContext | None = None,
) -> AsyncGenerator[Proxy]:
    """Run a proxy on this event loop; on leaving, calls in flight finish within the grace time.

    Args:
        settings: What to run.
        upstream_key: The endpoint's key; None passes the clients' own keys on.
        route_keys: Names of environment variables to keys, for the endpoints of `routes`.
        signing_key: Secrets that cell keys are signed with, as `CAB_SIGNING_KEY` holds them; None
            keeps one beside the ledger.
        admin_token: What the admin of the control API sends; None: there is no admin.
        clock: Time; an argument so that tests can hand in theirs.
        place: Its place among several processes; None runs it alone, whatever `workers` says.

    Raises:
        BadConfig: The ledger cannot be written, the port is taken, or the signing key is short.
    """
    clock = clock or Clock()
    async with AsyncExitStack() as stack:
        demo = None
        if settings.upstream == "demo":
            demo = await stack.enter_async_context(running_demo())
        upstream_url = demo.url if demo else settings.upstream
        ledger = await _open_ledger(settings, clock, place)
        stack.push_async_callback(_close, ledger, clock)
        ring = await key_ring(signing_key, settings)
        upstreams = Upstreams(settings, upstream_url, upstream_key, route_keys or {})
        stack.push_async_callback(upstreams.close)
        counter = Counter(settings.encodings, settings.count_max_bytes, settings.count_max_s)
        stack.callback(counter.close)
        book = place.book if place else await open_cell_registry(settings)
        parts = ProxyServices(settings, clock, ledger, upstreams, counter, book)
        shared = place is not None
        access = _access(ring, settings, clock, admin_token)
        # From here on whatever is logged is searched for them, in all tasks that begin from now.
        IN_PLAY.set(worth_hiding([*upstreams.secrets(), *ring.secrets(), admin_token]))
        server, host, port = await stack.enter_async_context(_serving(parts, access, shared=shared))
        url = control_url = url_of(host, port)
        # Of several processes the first one has it; each of them can answer for all.
        if settings.control_apart and (place is None or place.number == 0):
            listener = control_listener(settings, server.handle_control)
            control_url = await stack.enter_async_context(listener)
        await ledger.append(
            {
                "kind": "proxy_start",
                "at": rfc3339(clock.wall_ns()),
                "url": url,
                "upstream": upstreams.default.base.authority,
                "cab_version": importlib.metadata.version("coding-agent-bench"),
                "pid": os.getpid(),
                "worker": place.number if place else 0,
            }
        )
        yield Proxy(url, upstream_url, settings.ledger, demo, control_url, ring, clock, server)


def mint_for(
    ring: KeyRing, clock: Clock, cell_id: str, ttl_s: int, limits: KeyLimits | None
) -> str:
    """Return a key for a cell that expires after `ttl_s` seconds from now."""
    return cell_keys.mint(
        ring, cell_id, ttl_s, clock.wall_ns() // 1_000_000_000, limits or KeyLimits()
    )


def url_of(host: str, port: int) -> str:
    """Return where a listener is reached."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def open_cell_registry(settings: ProxySettings) -> LocalCellRegistry:
    """Return the book as the ledger has it."""
    cells = CellStates()
    await asyncio.to_thread(cells.restore, settings.ledger)
    return LocalCellRegistry(cells, settings.slot_wait_s)


async def key_ring(given: str | None, settings: ProxySettings) -> KeyRing:
    """Return the signing keys: those given, else those of the file, which is made if missing.

    Raises:
        BadConfig: They cannot be read, or are too short.
    """
    if given is not None:
        return parse_signing_keys(given)
    file = settings.signing_key_file or settings.ledger / "signing.key"
    return await asyncio.to_thread(load_or_create_signing_keys, file)


def _access(
    ring: KeyRing, settings: ProxySettings, clock: Clock, admin_token: str | None
) -> Access:
    identifier = Identifier(
        ring,
        Revocations(settings.ledger),
        settings.auth == "keys",
        settings.open_attribution,
        settings.cell,
    )
    return Access(identifier, clock, check_admin_token(admin_token) if admin_token else None)


@asynccontextmanager
async def _serving(
    parts: ProxyServices, access: Access, *, shared: bool
) -> AsyncGenerator[tuple[Server, str, int]]:
    """Listen, and on leaving refuse new calls and let those in flight finish."""
    settings = parts.settings
    sealer = Sealer(parts.book, parts.ledger, parts.clock, signer_from(settings.seal_key_file))
    control = Control(parts.book, parts.ledger, sealer, access, lambda: server.stopping)
    server = Server(parts, access.identifier, control, IN_PLAY.get())
    runner = web.ServerRunner(
        web.Server(
            server.handle,
            handler_cancellation=True,  # how a client that hangs up is noticed at once
            auto_decompress=False,  # request bodies pass as they are
            access_log=None,
            max_line_size=_HEAD_BYTES,
            max_field_size=_HEAD_BYTES,
        ),
        shutdown_timeout=1,  # all calls have ended by then
    )
    await runner.setup()
    try:
        host, port = await _listen(runner, settings, shared=shared)
        yield server, host, port
    finally:
        await server.stop(settings.grace_s)
        await runner.cleanup()


async def _open_ledger(
    settings: ProxySettings, clock: Clock, place: WorkerContext | None
) -> Ledger:
    options = LedgerOptions(
        segment_max_bytes=settings.segment_max_bytes,
        segment_max_s=settings.segment_max_s,
        min_free_bytes=settings.min_free_bytes,
        on_failure=settings.on_ledger_failure,
    )
    number = place.number if place else 0
    ledger = Ledger(settings.ledger, worker=number, options=options, clock=clock)
    if place is None:
        # Other workers' chains, from a run with more of them: their calls must end as well.
        await asyncio.to_thread(recover, settings.ledger, clock, skip_busy=True)
    return ledger


async def _close(ledger: Ledger, clock: Clock) -> None:
    with contextlib.suppress(LedgerFailed):
        await ledger.append({"kind": "proxy_stop", "at": rfc3339(clock.wall_ns())})
    await ledger.close()


async def _listen(
    runner: web.ServerRunner, settings: ProxySettings, *, shared: bool
) -> tuple[str, int]:
    site = web.TCPSite(runner, settings.host, settings.port, reuse_port=shared or None)
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
        "stop what listens there, or give another with --port (0 takes a free one)"
    )
