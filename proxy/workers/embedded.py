"""A proxy inside a program of your own: on its event loop, or on a thread beside it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine, Generator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from cab.proxy import app
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.auth.cell_keys import CellKeys
from cab.proxy.auth.signing_keys import new_signing_key, parse_signing_keys
from cab.proxy.config import STATE_INSIDE, ProxySettings, parse_settings
from cab.proxy.control.authorization import check_admin_token
from cab.proxy.control.client import SealedCell
from cab.proxy.control.running_proxy import OpenCell, RunningProxy, ended
from cab.proxy.errors import BadConfig
from cab.proxy.http.headers import header_fault
from cab.proxy.workers.supervisor import running_workers

_DEFAULTS = {"port": 0, "log_level": "warning"}
_SECRETS = ("key", "route_keys", "signing_key", "admin_token", "metrics_token")
_Result = TypeVar("_Result")


@asynccontextmanager
async def running_proxy(
    *,
    key: str | None = None,
    route_keys: dict[str, str] | None = None,
    signing_key: str | None = None,
    admin_token: str | None = None,
    metrics_token: str | None = None,
    **settings: Any,  # noqa: ANN401 - validated, by name and by value
) -> AsyncGenerator[RunningProxy]:
    """Run a proxy on this event loop; on leaving, calls in flight finish within `grace_s`.

    Nothing is read from the environment, and no signal is handled. Log lines go through `logging`, below
    `cab`, without secrets; several workers write theirs to standard error, from `log_level` on, by
    default `warning`. What `asyncio` and `aiohttp` log in this process is redacted too, of the keys that
    the proxy holds and of those of its calls in flight. Other loggers, and tracebacks that Python prints
    itself, stay as they are.

    With `host="0.0.0.0"` the proxy's `url` holds that address. A container cannot call it: give it the
    name or the address under which it reaches this machine, with the same port.

    Args:
        key: The endpoint's key, which no agent sees; None passes the clients' own keys on.
        route_keys: Keys for the endpoints of `routes`, by the names of their `key_env`; a route without
            that has `key`.
        signing_key: Signs the cells' keys, 32 bytes or more; None makes one for the life of this proxy,
            unless `signing_key_file` names a file.
        admin_token: Makes an admin of the control API, 16 bytes or more; None: there is none.
        metrics_token: Reads `/cab/metrics` and nothing else, 16 bytes or more; None: the admin token does.
        settings: What config.example.toml lists, such as `upstream`, `ledger`, `auth` and `workers`;
            `port` is a free one unless it is given, and `state` a folder in that of the ledger.

    Raises:
        BadConfig: An argument is unknown, missing or wrong, the ledger cannot be written, or the port is
            taken.
    """
    secrets: dict[str, Any] = {
        "key": key,
        "route_keys": route_keys,
        "signing_key": signing_key,
        "admin_token": admin_token,
        "metrics_token": metrics_token,
    }
    async with _running("running_proxy", secrets, settings) as proxy:
        yield proxy


@contextmanager
def start_proxy(**options: Any) -> Generator["BlockingProxy"]:  # noqa: ANN401 - as running_proxy's
    """Run a proxy on a thread, for programs without an event loop; takes what `running_proxy` takes.

    As there, `url` holds the address that it listens on: with `host="0.0.0.0"`, give containers an
    address under which they reach this machine.

    Raises:
        BadConfig: As for `running_proxy`.
    """
    secrets = {name: options.pop(name, None) for name in _SECRETS}
    loop = (
        asyncio.new_event_loop()
    )  # known before the thread runs it: it can be stopped at any time
    stop = asyncio.Event()
    started: Future[RunningProxy] = Future()

    async def serve() -> None:
        async with _running("start_proxy", secrets, options) as proxy:
            started.set_result(proxy)
            await stop.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    with ThreadPoolExecutor(1, "cab-proxy") as pool:
        try:
            thread = pool.submit(run)
            both: list[Future[Any]] = [started, thread]
            wait(both, return_when=FIRST_COMPLETED)  # Ctrl-C may end it
            if not started.done():
                thread.result()  # raises what kept it from starting
            yield BlockingProxy(started.result(), loop, thread)
        finally:
            with contextlib.suppress(RuntimeError):  # it has ended, and its loop is closed
                loop.call_soon_threadsafe(stop.set)
        thread.result()


@asynccontextmanager
async def _running(
    origin: str, secrets: Mapping[str, Any], settings: Mapping[str, Any]
) -> AsyncGenerator[RunningProxy]:
    parsed = parse_settings({**_DEFAULTS, **settings}, origin)
    if parsed.state is None:  # a program makes ledgers that have nothing to do with each other
        parsed = parsed.model_copy(update={"state": parsed.ledger / STATE_INSIDE})
    checked = _checked(origin, secrets, parsed)
    run = running_workers if parsed.workers > 1 else app.running_proxy
    async with run(parsed, **checked) as proxy:
        yield proxy


def _checked(origin: str, given: Mapping[str, Any], settings: ProxySettings) -> app.ProxySecrets:
    """Return the secrets as a proxy takes them; errors name the arguments, and hold no secret."""
    for name in ("key", "signing_key", "admin_token", "metrics_token"):
        _require_text(f"{origin}: {name}", given[name])
    key, signing_key, admin_token = given["key"], given["signing_key"], given["admin_token"]
    if key and (fault := header_fault(key)):
        raise BadConfig(f"{origin}: key {fault}")
    if signing_key is not None:
        parse_signing_keys(signing_key, f"{origin}: signing_key")
    elif settings.signing_key_file is None:
        signing_key = new_signing_key()
    if admin_token:
        check_admin_token(admin_token, f"{origin}: admin_token")
    if metrics_token := given["metrics_token"]:
        check_admin_token(metrics_token, f"{origin}: metrics_token")
    # As from the environment: a route that names no variable has the key of all others.
    shared = {settings.upstream_key_env: key} if key else {}
    return {
        "upstream_key": key or None,
        "route_keys": {**shared, **_route_keys(origin, given["route_keys"], settings)},
        "signing_key": signing_key,
        "admin_token": admin_token,
        "metrics_token": metrics_token or None,
    }


def _route_keys(origin: str, given: object, settings: ProxySettings) -> dict[str, str]:
    place = f"{origin}: route_keys"
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise BadConfig(f"{place} must be a dict of key_env to key, not {type(given).__name__}")
    keys, used = cast("Mapping[object, object]", given), {r.key_env for r in settings.routes}
    checked: dict[str, str] = {}
    for name, key in keys.items():
        if not isinstance(name, str) or name not in used:
            raise BadConfig(
                f"{place}: {name!r} is not the key_env of a route; add one or remove it"
            )
        text = _require_text(f"{place}[{name!r}]", key) or ""
        if fault := header_fault(text):
            raise BadConfig(f"{place}[{name!r}] {fault}")
        checked[name] = text
    return checked


def _require_text(place: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise BadConfig(f"{place} must be text (str), not {type(value).__name__}")
    return value


class BlockingProxy:
    """A proxy on a thread of its own; made by `start_proxy`. Its methods are those of `RunningProxy`."""

    def __init__(
        self, proxy: RunningProxy, loop: asyncio.AbstractEventLoop, thread: Future[None]
    ) -> None:
        self._proxy = proxy
        self._loop = loop
        self._thread = thread

    @property
    def url(self) -> str:
        """Where it listens, without `/v1`; see `RunningProxy.url`."""
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
        """Return a new key for calls of a cell; see `RunningProxy.mint_key`."""
        return self._proxy.mint_key(cell_id, ttl_s, limits)

    def mint_keys(self, cell_id: str, ttl_s: int, limits: KeyLimits | None = None) -> CellKeys:
        """Return new keys of a cell; see `RunningProxy.mint_keys`."""
        return self._proxy.mint_keys(cell_id, ttl_s, limits)

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
        try:
            answer = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:  # the loop is closed
            work.close()
            raise ended(self.url) from None
        both: list[Future[Any]] = [answer, self._thread]
        wait(both, return_when=FIRST_COMPLETED)
        if not answer.done() or answer.cancelled():  # the proxy ended meanwhile
            work.close()
            raise ended(self.url)
        return answer.result()
