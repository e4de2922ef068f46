"""One request to the control API of a proxy that runs elsewhere."""

from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from cab.adapters.errors import AdapterError, ProxyRefused

_UNIX = "unix:"
_LIMIT_S = 60.0


async def ask_control(proxy: str, path: str, token: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a POST.

    Args:
        proxy: Where the control API is: an http(s) URL, or `unix:` and the path of its socket.
        path: What is asked, from `/cab/` on.
        token: The admin token.
        body: The question.

    Raises:
        AdapterError: The address is none.
        ProxyRefused: Nothing like a proxy answers there, or it refuses.
    """
    connector, base = _reach(proxy)
    headers = {"Authorization": f"Bearer {token}"}
    limits = aiohttp.ClientTimeout(total=_LIMIT_S)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=limits) as session,
            session.post(f"{base}{path}", json=body, headers=headers) as response,
        ):
            status, raw = response.status, await response.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ProxyRefused(proxy, f"no answer: {error or 'in time'}") from error
    try:
        answer = orjson.loads(raw)
        return dict(answer) if status < 300 else _refused(proxy, status, answer)
    except (ValueError, LookupError, TypeError) as error:
        raise ProxyRefused(
            proxy, f"what answers there is no cab-proxy (status {status})"
        ) from error


def _reach(proxy: str) -> tuple[aiohttp.BaseConnector, str]:
    if proxy.startswith(_UNIX):
        return aiohttp.UnixConnector(proxy.removeprefix(_UNIX)), "http://cab-proxy"
    base = proxy.rstrip("/").removesuffix("/v1")
    parts = urlsplit(base)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise AdapterError(f"--proxy {proxy!r} is no http(s) URL, nor unix: and a path")
    return aiohttp.TCPConnector(), base


def _refused(proxy: str, status: int, answer: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    raise ProxyRefused(proxy, f"{answer['error']['message']} (status {status})")
