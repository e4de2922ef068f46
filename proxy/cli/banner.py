"""What `cab-proxy` prints at its start: addresses, endpoints, limits, and lines to paste that work."""

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from cab.proxy.accounting.prices import priced_by
from cab.proxy.app import ProxySecrets
from cab.proxy.config import ProxySettings, is_loopback
from cab.proxy.control.live.tokens import new_live_token
from cab.proxy.control.running_proxy import RunningProxy

_CELL_KEY = "<the cell's key>"
_ENDPOINT_KEY = "<the endpoint's key>"


def banner(proxy: RunningProxy, settings: ProxySettings, secrets: ProxySecrets) -> str:
    """Return what is printed at the start. It holds no key but that of the cell that the settings name."""
    key, advice = _key_to_paste(proxy, settings, secrets)
    lines = [
        _row("listens on", proxy.url, first=True),
        *summary(settings, secrets, proxy.upstream_url),
        _row("ledger", str(proxy.ledger_dir)),
    ]
    if settings.control_apart:
        addresses = [proxy.control_url]
        if settings.control_port is not None and settings.control_socket is not None:
            addresses.append(f"unix:{settings.control_socket}")
        lines.append(_row("control API", ", ".join(addresses)))
    if not proxy.control_url.startswith("unix:"):
        token = new_live_token(settings.state_folder, int(time.time()))
        lines.append(_row("live view", f"{proxy.control_url}/cab/?token={token} (opens once)"))
    if settings.cell:
        lines.append(_row("cell", settings.cell))
    lines += [
        "",
        *advice,
        "Paste into the agent's shell:",
        f"  export OPENAI_BASE_URL={proxy.url}/v1 OPENAI_API_BASE={proxy.url}/v1",
        f"  export OPENAI_API_KEY={key}",
        "",
    ]
    return "\n".join(lines)


def summary(settings: ProxySettings, secrets: ProxySecrets, upstream_url: str) -> Iterator[str]:
    """Yield lines about the endpoints, which of their keys are set, who may call, and the limits.

    Args:
        settings: What is run.
        secrets: The keys; none of them is shown.
        upstream_url: The endpoint.
    """
    if settings.replay is not None:
        yield _row("forwards to", f"nobody: it replays {settings.replay}")
    elif settings.upstream == "demo":
        yield _row("forwards to", "demo (built-in model server)")
    else:
        name, is_set = settings.upstream_key_env, secrets.get("upstream_key") is not None
        yield _row("forwards to", f"{upstream_url} ({_key_state(name, is_set=is_set)})")
    keys = secrets.get("route_keys") or {}
    for route in settings.routes if settings.replay is None else ():
        state = _key_state(route.key_env, is_set=bool(keys.get(route.key_env)))
        yield _row("route", f"{', '.join(route.models)} -> {route.upstream} ({state})")
    admin = "set" if secrets.get("admin_token") else "not set: nobody is admin"
    yield _row("admin token", f"CAB_ADMIN_TOKEN is {admin}")
    needed = "a key of a cell" if settings.auth == "keys" else "no key of a cell"
    yield _row("calls need", f"{needed} (auth = {settings.auth})")
    yield _row("prices", priced_by(settings))
    yield _row("limits", ", ".join(_limits(settings)))


def _row(title: str, text: str, *, first: bool = False) -> str:
    return f"{'cab-proxy' if first else '':9} {title:12} {text}"


def _key_state(name: str, *, is_set: bool) -> str:
    return f"{name} is set" if is_set else f"{name} is not set: agents send their own key"


def _limits(settings: ProxySettings) -> Iterator[str]:
    yield f"bodies of {settings.max_request_bytes} bytes"
    for name, what in (
        ("connect_timeout_s", "to connect"),
        ("headers_timeout_s", "to the first byte"),
        ("body_timeout_s", "of silence"),
        ("slot_wait_s", "for a free slot"),
    ):
        limit_s = getattr(settings, name)
        if limit_s is not None:
            yield f"{limit_s:g} s {what}"
    if settings.max_connections is not None:
        yield f"{settings.max_connections} connections"


def _key_to_paste(
    proxy: RunningProxy, settings: ProxySettings, secrets: ProxySecrets
) -> tuple[str, list[str]]:
    """Return what an agent has to send as its key, and what has to be said of it."""
    if _holds_key(proxy, settings, secrets):
        if settings.cell:
            return proxy.mint_key(settings.cell, ttl_s=86_400), []
        if settings.auth == "keys":
            return _CELL_KEY, [
                f"A cell's key is made by: cab keys mint --cell ID --ttl 24h {_where(settings)}"
            ]
        return "any-text", []
    name = settings.upstream_key_env
    if settings.auth == "keys":
        advice = (
            f"{name} is not set, and a key of a cell is never passed on: an endpoint that needs a key answers "
            f"401. Start cab-proxy with {name} set."
        )
        key = proxy.mint_key(settings.cell, ttl_s=86_400) if settings.cell else _CELL_KEY
        return key, [advice]
    advice = (
        f"{name} is not set: the agent's own key goes to the endpoint. Start cab-proxy with {name} set, and "
        "agents need none."
    )
    return _ENDPOINT_KEY, [advice]


def _holds_key(proxy: RunningProxy, settings: ProxySettings, secrets: ProxySecrets) -> bool:
    """Return whether the endpoint answers without a key of the agent, as far as can be told."""
    local = is_loopback(urlsplit(settings.upstream).hostname or "")
    own = proxy.demo is not None or settings.replay is not None
    return own or secrets.get("upstream_key") is not None or local


def _where(settings: ProxySettings) -> str:
    if settings.signing_key_file is not None:
        return f"--signing-key-file {settings.signing_key_file}"
    return f"--signing-key-file {settings.state_folder / 'signing.key'}"
