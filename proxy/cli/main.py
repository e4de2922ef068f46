"""The command `cab-proxy`."""

import asyncio
import os
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cab.proxy.accounting.prices import with_prices_read
from cab.proxy.app import Proxy, ProxySecrets, running_proxy
from cab.proxy.auth.held_secrets import SECRET_VARIABLES, hide, read_key
from cab.proxy.cli.banner import banner
from cab.proxy.cli.flags import make_parser
from cab.proxy.cli.reloads import Reloads, Sources, on_hangup, reload
from cab.proxy.config import ProxySettings
from cab.proxy.control.telemetry.opening import secrets_of, wanted_target
from cab.proxy.errors import CabProxyError
from cab.proxy.lifecycle.inherited_sockets import InheritedSockets, inherited_sockets
from cab.proxy.lifecycle.service_manager import ServiceManager
from cab.proxy.logs import configure_logs
from cab.proxy.workers import event_loop
from cab.proxy.workers.stop_signals import stop_event
from cab.scoring.printable import printable

if TYPE_CHECKING:
    from cab.proxy.workers.supervisor import MultiProcessProxy


def main(argv: list[str] | None = None) -> int:
    """Run `cab-proxy` and return its exit code."""
    flags: dict[str, Any] = vars(make_parser().parse_args(argv))
    check, ask = flags.pop("check_config", False), flags.pop("check_upstream", False)
    try:
        manager = ServiceManager.of(os.environ)
        sources = _sources(flags)
        settings, secrets = sources.read()
        _hide(settings, secrets)
        if check or ask:
            return _check(settings, secrets, ask=ask)
        configure_logs(settings.log_level, settings.log_format)
        # The parent of several workers carries no call, and uvloop starts processes less well.
        run = event_loop.run if settings.workers == 1 else asyncio.run
        run(_serve(settings, secrets, sources, manager))
    except CabProxyError as error:
        _say(f"cab-proxy: {error}")
        return 2
    return 0


def _sources(flags: dict[str, Any]) -> Sources:
    """Return where settings and keys come from; `flags` keeps what is a setting."""
    config: Path | None = flags.pop("config", None)
    key_file: Path | None = flags.pop("key_file", None)
    key = read_key(key_file, flags.pop("key_fd", None))
    sockets = inherited_sockets(os.environ)
    return Sources(config, flags, dict(os.environ), key_file, key, sockets)


def _hide(settings: ProxySettings, secrets: ProxySecrets) -> None:
    """Hide the secrets of the environment."""
    routes = secrets.get("route_keys") or {}
    texts = (secrets.get("upstream_key"), secrets.get("signing_key"), secrets.get("admin_token"))
    names = (settings.upstream_key_env, *routes, *SECRET_VARIABLES)
    target = wanted_target(settings, secrets.get("otel") or {})
    others = secrets.get("metrics_token"), secrets.get("ship_password"), *secrets_of(target)
    hide((*texts, *routes.values(), *others), names)


def _check(settings: ProxySettings, secrets: ProxySecrets, *, ask: bool) -> int:
    from cab.proxy.cli.check_config import checked  # noqa: PLC0415 - a start needs it not

    for line in asyncio.run(checked(settings, secrets, ask=ask)):
        print(printable(line.strip()))  # noqa: T201 - the command's output
    return 0


async def _serve(
    settings: ProxySettings, secrets: ProxySecrets, sources: Sources, manager: ServiceManager
) -> None:
    settings = with_prices_read(settings)  # once: it may be a pipe
    stop, hung_up = stop_event(), asyncio.Event()
    on_hangup(hung_up, stop)
    async with (
        manager.watched(),
        _running(settings, secrets, sources.sockets, manager.watchdog_s) as proxy,
    ):
        print(banner(proxy, settings, secrets), flush=True)  # noqa: T201 - what a person pastes
        manager.ready(f"listens on {proxy.url}")
        event_loop.has_started()

        try:
            async with asyncio.TaskGroup() as tasks:
                reloading = tasks.create_task(_reload_each_time(hung_up, proxy, sources, manager))
                await stop.wait()
                reloading.cancel()
        finally:
            manager.stopping()


async def _reload_each_time(
    hung_up: asyncio.Event, proxy: Reloads, sources: Sources, manager: ServiceManager
) -> None:
    while True:
        await hung_up.wait()
        hung_up.clear()
        await reload(proxy, sources, manager)


def _running(
    settings: ProxySettings,
    secrets: ProxySecrets,
    sockets: InheritedSockets,
    watchdog_s: float | None,
) -> "AbstractAsyncContextManager[Proxy | MultiProcessProxy]":
    if settings.workers > 1:
        from cab.proxy.workers.supervisor import running_workers  # noqa: PLC0415 - most starts need it not

        # The service manager sees this process only; its workers are watched from here.
        return running_workers(settings, watchdog_s=watchdog_s, sockets=sockets, **secrets)
    return running_proxy(settings, sockets=sockets, **secrets)


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr)  # noqa: T201 - the one line of an error
