"""A proxy inside a program of your own: on its event loop, or on a thread beside it."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Generator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from cab.proxy import app
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.auth.signing_keys import new_signing_key
from cab.proxy.config import parse_settings
from cab.proxy.control.client import SealedCell
from cab.proxy.control.running_proxy import OpenCell, RunningProxy
from cab.proxy.workers.supervisor import running_workers

_DEFAULTS = {"port": 0, "log_level": "warning"}
_Result = TypeVar("_Result")


@asynccontextmanager
async def running_proxy(
    *,
    key: str | None = None,
    route_keys: dict[str, str] | None = None,
    signing_key: str | None = None,
    admin_token: str | None = None,
    **settings: Any,  # noqa: ANN401 - validated, by name and by value
) -> AsyncGenerator[RunningProxy]:
    """Run a proxy on this event loop; on leaving, calls in flight finish within `grace_s`.

    Nothing is read from the environment, and no signal is handled. Log lines go through `logging`, below
    `cab`; several workers write theirs to standard error, from `log_level` on, by default `warning`.

    Args:
        key: The endpoint's key, which no agent sees; None passes the clients' own keys on.
        route_keys: Keys for the endpoints of `routes`, by the names of their `key_env`; a route without
            that has `key`.
        signing_key: Signs the cells' keys, 32 bytes or more; None makes one for the life of this proxy,
            unless `signing_key_file` names a file.
        admin_token: Makes an admin of the control API, 16 bytes or more; None: there is none.
        settings: What config.example.toml lists, such as `upstream`, `ledger`, `auth` and `workers`;
            `port` is a free one unless it is given.

    Raises:
        BadConfig: A setting is unknown, missing or wrong, the ledger cannot be written, or the port is
            taken.
    """
    parsed = parse_settings({**_DEFAULTS, **settings}, "running_proxy")
    if signing_key is None and parsed.signing_key_file is None:
        signing_key = new_signing_key()
    # As from the environment: a route that names no variable has the key of all others.
    keys = {parsed.upstream_key_env: key} if key else {}
    secrets: app.ProxySecrets = {
        "upstream_key": key or None,
        "route_keys": {**keys, **(route_keys or {})},
        "signing_key": signing_key,
        "admin_token": admin_token,
    }
    run = running_workers if parsed.workers > 1 else app.running_proxy
    async with run(parsed, **secrets) as proxy:
        yield proxy


@contextmanager
def start_proxy(**options: Any) -> Generator["BlockingProxy"]:  # noqa: ANN401 - as running_proxy's
    """Run a proxy on a thread, for programs without an event loop; takes what `running_proxy` takes.

    Raises:
        BadConfig: As for `running_proxy`.
    """
    stop = asyncio.Event()
    started: Future[BlockingProxy] = Future()

    async def serve() -> None:
        async with running_proxy(**options) as proxy:
            started.set_result(BlockingProxy(proxy, asyncio.get_running_loop()))
            await stop.wait()

    with ThreadPoolExecutor(1, "cab-proxy") as pool:
        ended: Future[None] = pool.submit(asyncio.run, serve())
        both: list[Future[Any]] = [started, ended]
        wait(both, return_when=FIRST_COMPLETED)
        if not started.done():
            ended.result()  # raises what kept it from starting
        proxy = started.result()
        try:
            yield proxy
        finally:
            proxy.loop.call_soon_threadsafe(stop.set)
            ended.result()


class BlockingProxy:
    """A proxy on a thread of its own; made by `start_proxy`. Its methods are those of `RunningProxy`."""

    def __init__(self, proxy: RunningProxy, loop: asyncio.AbstractEventLoop) -> None:
        self._proxy = proxy
        self.loop = loop

    @property
    def url(self) -> str:
        """Where it listens, without `/v1`."""
        return self._proxy.url

    @property
    def control_url(self) -> str:
        """Where the control API is: `url`, or its own address."""
        return self._proxy.control_url

    @property
    def ledger_dir(self) -> Path:
        """Where its records are."""
        return self._proxy.ledger_dir

    def mint_key(self, cell_id: str, ttl_s: int, limits: KeyLimits | None = None) -> str:
        """Return a new key of a cell; see `RunningProxy.mint_key`."""
        return self._proxy.mint_key(cell_id, ttl_s, limits)

    def open_cell(self, cell_id: str, ttl_s: int, limits: KeyLimits | None = None) -> OpenCell:
        """Return a cell that has no calls yet; see `RunningProxy.open_cell`."""
        return self._wait(self._proxy.open_cell(cell_id, ttl_s, limits))

    def totals(self, cell_id: str) -> dict[str, Any]:
        """Return what a cell has spent so far; see `RunningProxy.totals`."""
        return self._wait(self._proxy.totals(cell_id))

    def seal(self, cell_id: str) -> SealedCell:
        """Close a cell; see `RunningProxy.seal`."""
        return self._wait(self._proxy.seal(cell_id))

    def _wait(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()
