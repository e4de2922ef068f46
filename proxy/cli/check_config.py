"""`cab-proxy --check-config`: whether a proxy would start, and what it would do. Nothing is written or opened."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import aiohttp

from cab.proxy.app import ProxySecrets, ready_settings
from cab.proxy.auth import signing_keys
from cab.proxy.cli.banner import summary
from cab.proxy.config import ProxySettings
from cab.proxy.control.authorization import check_admin_token, metrics_token_from
from cab.proxy.control.listener import check_socket_path
from cab.proxy.control.sealing import signer_from
from cab.proxy.control.telemetry.opening import check_target, wanted_target
from cab.proxy.errors import BadConfig, CabProxyError
from cab.proxy.forwarding.failures import UpstreamFailed
from cab.proxy.forwarding.upstream import Upstream, Upstreams
from cab.proxy.http.headers import Headers
from cab.proxy.http.tls_certificate import listener_context
from cab.proxy.ledger.shipping.sink import SinkTarget, sink_opener
from cab.proxy.tokens.usage import Counter

_DEMO = "demo"
_ANSWER_S = 30.0


async def checked(settings: ProxySettings, secrets: ProxySecrets, *, ask: bool) -> list[str]:
    """Return lines that say what a proxy with these settings would do.

    Args:
        settings: The settings.
        secrets: The keys, of which none is shown.
        ask: Whether the endpoints are asked for their models, with their keys.

    Raises:
        BadConfig: It would not start, or an endpoint does not take its key.
    """
    settings = ready_settings(settings, secrets)
    keys = secrets.get("upstream_key"), secrets.get("route_keys") or {}
    listener_context(settings.tls_cert_file, settings.tls_key_file)
    signer_from(settings.seal_key_file)
    if settings.ship_to is not None:
        sink_opener(SinkTarget(settings.ship_to))
    if (token := secrets.get("admin_token")) is not None:
        check_admin_token(token)
    metrics_token_from(secrets.get("metrics_token"), settings)
    check_target(wanted_target(settings, secrets.get("otel") or {}))
    if settings.control_socket is not None:
        check_socket_path(settings.control_socket)
    if settings.replay is not None:
        from cab.proxy.http.replay.endpoint import recorded_calls  # noqa: PLC0415 - few replay

        await asyncio.to_thread(recorded_calls, settings.replay)
    signing = _signing_keys(settings, secrets)
    Counter(settings.encodings, settings.count_max_bytes, settings.count_max_s).close()
    _require_writable("ledger", settings.ledger)
    _require_writable("state folder", settings.state_folder)
    is_own = settings.upstream == _DEMO or settings.replay is not None
    url = "http://127.0.0.1" if is_own else settings.upstream
    upstreams = Upstreams(settings, url, *keys)
    try:
        lines = [*_would(settings, signing), *summary(settings, secrets, settings.upstream)]
        if ask:
            asked = upstreams.all[1:] if is_own else upstreams.all
            lines += await asyncio.gather(*map(_asked, asked))
    finally:
        await upstreams.close()
    return lines


def _would(settings: ProxySettings, signing: str) -> Iterator[str]:
    scheme = "http" if settings.tls_cert_file is None else "https"
    yield f"would listen on {settings.host} port {settings.port} ({scheme}), workers: {settings.workers}"
    yield f"would write the ledger {settings.ledger}, state folder {settings.state_folder}"
    yield f"would sign keys of cells with {signing}"


def _signing_keys(settings: ProxySettings, secrets: ProxySecrets) -> str:
    if (given := secrets.get("signing_key")) is not None:
        signing_keys.parse_signing_keys(given)
        return signing_keys.ENVIRONMENT
    file = settings.signing_key_file or settings.state_folder / signing_keys.FILE_NAME
    if not file.exists():
        _require_writable("folder of the signing key", file.parent)
        return f"{file}, which would be made"
    signing_keys.load_signing_keys(file)
    return str(file)


def _require_writable(what: str, folder: Path) -> None:
    """Return if a folder can be written, or made.

    Raises:
        BadConfig: It cannot.
    """
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        why = "may not be written" if there.is_dir() else "is not a folder"
        raise BadConfig(f"{what} {folder} cannot be written: {there} {why}")


async def _asked(upstream: Upstream) -> str:
    """Ask an endpoint for its models, which costs nothing; return what it said.

    Raises:
        BadConfig: It cannot be reached, or it refuses the key.
    """
    name, headers = upstream.base.authority, Headers()
    path = upstream.prepare(headers, "/v1/models", "other", keep_credentials=False)
    try:
        async with asyncio.timeout(_ANSWER_S):
            answer = await upstream.send("GET", path, headers, b"", None, fresh=True)
    except UpstreamFailed as error:
        raise BadConfig(f"the endpoint cannot be asked: {error}") from error
    except (CabProxyError, aiohttp.ClientError, TimeoutError) as error:
        raise BadConfig(f"{name}: the endpoint did not answer in {_ANSWER_S:g} s") from error
    answer.close()
    if answer.status in (401, 403) and upstream.holds_key:
        raise BadConfig(f"{name}: the endpoint refuses {upstream.route.key_env} ({answer.status})")
    return f"{name} answers (status {answer.status})"
