"""The command `cab-proxy`."""

import asyncio
import os
import sys
import time
from contextlib import AbstractAsyncContextManager
from typing import Any

from cab.proxy.app import ProxySecrets, running_proxy, secrets_from
from cab.proxy.auth.held_secrets import SECRET_VARIABLES, hide, read_key
from cab.proxy.cli.flags import make_parser
from cab.proxy.cli.sources import load_settings
from cab.proxy.config import ProxySettings
from cab.proxy.control.live.tokens import new_live_token
from cab.proxy.control.running_proxy import RunningProxy
from cab.proxy.errors import CabProxyError
from cab.proxy.logs import configure_logs
from cab.proxy.workers import event_loop
from cab.proxy.workers.stop_signals import stop_event
from cab.scoring.printable import printable


def main(argv: list[str] | None = None) -> int:
    """Run `cab-proxy` and return its exit code."""
    flags: dict[str, Any] = vars(make_parser().parse_args(argv))
    try:
        key = read_key(flags.pop("key_file", None), flags.pop("key_fd", None))
        settings = load_settings(flags.pop("config", None), flags, os.environ)
        secrets = _held_secrets(settings, key)
        configure_logs(settings.log_level, settings.log_format)
        # The parent of several workers carries no call, and uvloop starts processes less well.
        run = event_loop.run if settings.workers == 1 else asyncio.run
        run(_serve(settings, secrets))
    except CabProxyError as error:
        print(printable(f"cab-proxy: {error}"), file=sys.stderr)  # noqa: T201 - the one line of an error
        return 2
    return 0


def _held_secrets(settings: ProxySettings, key: str | None) -> ProxySecrets:
    """Return the secrets of the environment, which are hidden there from now on."""
    name = settings.upstream_key_env
    secrets = secrets_from(os.environ if key is None else {**os.environ, name: key}, settings)
    routes = secrets.get("route_keys") or {}
    texts = (secrets.get("upstream_key"), secrets.get("signing_key"), secrets.get("admin_token"))
    hide((*texts, *routes.values()), (name, *routes, *SECRET_VARIABLES))
    return secrets


async def _serve(settings: ProxySettings, secrets: ProxySecrets) -> None:
    stop = stop_event()
    async with _running(settings, secrets) as proxy:
        print(banner(proxy, settings), flush=True)  # noqa: T201 - what a person pastes
        await stop.wait()


def _running(
    settings: ProxySettings, secrets: ProxySecrets
) -> AbstractAsyncContextManager[RunningProxy]:
    if settings.workers > 1:
        from cab.proxy.workers.supervisor import running_workers  # noqa: PLC0415 - most starts need it not

        return running_workers(settings, **secrets)
    return running_proxy(settings, **secrets)


def banner(proxy: RunningProxy, settings: ProxySettings) -> str:
    """Return what is printed at the start: addresses, the ledger, and two lines to paste."""
    key = proxy.mint_key(settings.cell, ttl_s=86_400) if settings.cell else "any-text"
    if settings.auth == "keys" and not settings.cell:
        key = "<the cell's key>"
    upstream = "demo (built-in model server)" if proxy.demo else proxy.upstream_url
    if settings.replay is not None:
        upstream = f"nobody: it replays {settings.replay}"
    lines = [
        f"cab-proxy listens on   {proxy.url}",
        f"          forwards to  {upstream}",
        f"          ledger       {proxy.ledger_dir}",
    ]
    if settings.control_apart:
        addresses = [proxy.control_url]
        if settings.control_port is not None and settings.control_socket is not None:
            addresses.append(f"unix:{settings.control_socket}")
        lines.append(f"          control API  {', '.join(addresses)}")
    if not proxy.control_url.startswith("unix:"):
        token = new_live_token(settings.state_folder, int(time.time()))
        lines.append(f"          live view    {proxy.control_url}/cab/?token={token} (opens once)")
    if settings.cell:
        lines.append(f"          cell         {settings.cell}")
    lines += [
        "",
        "Paste into the agent's shell:",
        f"  export OPENAI_BASE_URL={proxy.url}/v1 OPENAI_API_BASE={proxy.url}/v1",
        f"  export OPENAI_API_KEY={key}",
        "",
    ]
    return "\n".join(lines)
