"""The proxy of a run, embedded or given, as the runner sees it: a place to call, a key, a ledger."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import aiohttp
import orjson
from yarl import URL

from cab.adapters.errors import AdapterError, ProxyRefused
from cab.proxy.app import running_proxy
from cab.proxy.auth import cell_keys
from cab.proxy.auth.signing_keys import new_signing_key, parse_signing_keys
from cab.proxy.config import parse_settings
from cab.proxy.demo import Demo

DEMO = "demo"
"""The upstream that is the built-in model server."""

_CONNECT_LIMIT_S = 10.0
_ANSWER_LIMIT_S = 60.0  # a seal waits for calls in flight
_SEAL_TRIES = 5


class LedgerSlice(NamedTuple):
    """A sealed cell."""

    lines: bytes
    """Its lines of the ledger, verbatim."""
    seal: dict[str, Any]
    """What the seal states of them."""


class _StillInFlight(Exception):
    """A seal that may be asked for again."""


class Meter:
    """A proxy that takes the calls of one cell. Made by `embedded_meter` and `given_meter`.

    Args:
        url: Where it listens, without `/v1`.
        cell_id: The cell.
        key: The cell's key.
        session: Client for the control API.
        demo: The built-in model server behind it, where that is the upstream.
    """

    def __init__(
        self,
        url: str,
        cell_id: str,
        key: str,
        session: aiohttp.ClientSession,
        demo: Demo | None = None,
    ) -> None:
        self.url = url
        self.cell_id = cell_id
        self.key = key
        self.demo = demo
        self._session = session

    async def require_unused(self) -> None:
        """Make sure that the cell has no calls yet: a second run would be added to the first.

        Raises:
            ProxyRefused: It has some; or see `seal`.
        """
        if await self._ask("GET", "calls"):
            raise ProxyRefused(
                self.url,
                f"its ledger has calls of {self.cell_id} already; give --run N for one more run",
            )

    async def seal(self) -> LedgerSlice:
        """Close the cell and return its lines.

        Raises:
            ProxyRefused: The proxy is gone, does not take the key, or sealed the cell before; or
                the lines are not those that the seal states.
        """
        seal = orjson.loads(await self._sealed())
        lines = await self._ask("GET", "calls")
        if seal["digest"] != f"sha256:{hashlib.sha256(lines).hexdigest()}":
            raise ProxyRefused(self.url, f"the lines of {self.cell_id} are not what its seal says")
        return LedgerSlice(lines, seal)

    async def _sealed(self) -> bytes:
        for _ in range(_SEAL_TRIES - 1):
            try:
                return await self._ask("POST", "seal")
            except _StillInFlight:
                continue  # it has waited already
        try:
            return await self._ask("POST", "seal")
        except _StillInFlight as error:
            raise ProxyRefused(self.url, f"{error}; it cannot be sealed") from error

    async def _ask(self, method: str, what: str) -> bytes:
        # Quoted whole: a cell id holds slashes.
        url = URL(f"{self.url}/cab/cells/{quote(self.cell_id, safe='')}/{what}", encoded=True)
        headers = {"Authorization": f"Bearer {self.key}"}
        try:
            async with self._session.request(method, url, headers=headers) as response:
                status, body = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ProxyRefused(self.url, f"no answer to {method} {what}: {error}") from error
        if status == 200:
            return body
        code, message = _error_of(body)
        if code == "calls_in_flight":
            raise _StillInFlight(message)
        raise ProxyRefused(self.url, f"{message} (status {status})")


@asynccontextmanager
async def embedded_meter(  # noqa: PLR0913 - all that makes a proxy of one cell
    cell_id: str,
    ttl_s: int,
    *,
    upstream: str,
    upstream_key: str | None,
    ledger: Path,
    host: str = "127.0.0.1",
) -> AsyncGenerator[Meter]:
    """Run a proxy in this process for one cell.

    Args:
        cell_id: The cell.
        ttl_s: Seconds until its key expires.
        upstream: Base URL of the endpoint, or `demo`.
        upstream_key: The endpoint's key.
        ledger: Folder of the audit log.
        host: Address to listen on; without the cell's key nobody gets through.

    Raises:
        BadConfig: The upstream is no URL, or the ledger cannot be written.
        ProxyRefused: The ledger has calls of the cell already.
    """
    values = {"upstream": upstream, "host": host, "port": 0, "ledger": ledger, "auth": "keys"}
    settings = parse_settings(values, "command line")
    # A key of this run only: nothing that could sign is left beside the ledger.
    signing_key = new_signing_key()
    async with (
        running_proxy(settings, upstream_key=upstream_key, signing_key=signing_key) as proxy,
        _client() as session,
    ):
        key = proxy.mint_key(cell_id, ttl_s)
        meter = Meter(proxy.url, cell_id, key, session, proxy.demo)
        await meter.require_unused()
        yield meter


@asynccontextmanager
async def given_meter(
    cell_id: str, ttl_s: int, *, url: str, signing_key: str | None, cell_key: str | None = None
) -> AsyncGenerator[Meter]:
    """Use a proxy that runs elsewhere for one cell.

    Args:
        cell_id: The cell.
        ttl_s: Seconds until its key expires.
        url: Where it listens, with or without `/v1`.
        signing_key: The secret that it checks keys with.
        cell_key: The cell's key, where the proxy's owner has made it; the signing key is not needed.

    Raises:
        AdapterError: There is no key of either kind.
        BadConfig: The signing key is too short.
        ProxyRefused: Nothing like a proxy answers there, or it does not take the key.
    """
    if signing_key is None and cell_key is None:
        raise AdapterError(
            "CAB_SIGNING_KEY is not set; a given proxy needs it, or cell keys cannot be made"
        )
    base = url.rstrip("/").removesuffix("/v1")
    async with _client() as session:
        await _check_health(session, base)
        key = cell_key or _minted(signing_key or "", cell_id, ttl_s)
        meter = Meter(base, cell_id, key, session)
        await meter.require_unused()
        yield meter


def _minted(signing_key: str, cell_id: str, ttl_s: int) -> str:
    return cell_keys.mint(parse_signing_keys(signing_key), cell_id, ttl_s, int(time.time()))


def _client() -> aiohttp.ClientSession:
    limits = aiohttp.ClientTimeout(total=_ANSWER_LIMIT_S, sock_connect=_CONNECT_LIMIT_S)
    return aiohttp.ClientSession(timeout=limits)


async def check_reachable(upstream: str) -> None:
    """Make sure that something listens at an endpoint: an agent would spend minutes on retries.

    Args:
        upstream: Base URL, or `demo`.

    Raises:
        AdapterError: Nothing does.
        BadConfig: It is no URL.
    """
    if parse_settings({"upstream": upstream}, "command line").upstream == DEMO:
        return
    parts = urlsplit(upstream)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(_CONNECT_LIMIT_S):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except (OSError, UnicodeError) as error:
        raise AdapterError(
            f"upstream {upstream} cannot be reached ({_why_unreachable(error)}); "
            "mend CAB_ENDPOINT or --upstream"
        ) from error
    writer.close()


def _why_unreachable(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "its host is no name"
    code = error.errno or 0  # names that cannot be resolved have negative codes of their own
    return os.strerror(code) if code > 0 else error.strerror or "no answer in time"


async def _check_health(session: aiohttp.ClientSession, base: str) -> None:
    try:
        async with session.get(f"{base}/cab/health") as response:
            health = orjson.loads(await response.read())
            ready = bool(health["ready"])
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ProxyRefused(base, f"cannot be reached ({error}); start cab-proxy there") from error
    except (ValueError, LookupError, TypeError) as error:
        raise ProxyRefused(base, "what answers there is no cab-proxy") from error
    if not ready:
        raise ProxyRefused(base, f"it takes no calls now ({health.get('ledger_failure')})")


def _error_of(body: bytes) -> tuple[str, str]:
    """Return code and message of an error answer."""
    try:
        error = orjson.loads(body)["error"]
        return str(error["code"]), str(error["message"])
    except (ValueError, LookupError, TypeError):
        return "", "an answer that is no cab-proxy's"
