"""The proxy of a run, embedded or given: a URL to call, a key, and a seal at the end."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cab.adapters.errors import AdapterError
from cab.adapters.ui.endpoint_scheme import scheme_fault
from cab.proxy.app import running_proxy
from cab.proxy.auth.cell_keys import CellKeys, mint_both
from cab.proxy.auth.signing_keys import new_signing_key, parse_signing_keys
from cab.proxy.config import STATE_INSIDE, parse_settings
from cab.proxy.control.client import ControlClient, SealedCell
from cab.proxy.demo import Demo
from cab.proxy.errors import ProxyRefused

DEMO = "demo"
"""The upstream that is the built-in model server."""

_CONNECT_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Meter:
    """A proxy that takes the calls of one cell."""

    url: str
    """Where it listens, without `/v1`."""
    control: str
    """Where its control API is."""
    cell_id: str
    key: str
    """The agent's key: for calls of the cell."""
    seal_key: str
    """Opens and seals the cell; stays here."""
    demo: Demo | None = None
    """The built-in model server behind it, where that is the upstream."""

    async def open(self) -> None:
        """Have it recorded that the cell is metered from now on.

        Raises:
            ProxyRefused: It has calls, is sealed, or the proxy does not take one of the keys.
        """
        async with ControlClient(self.control, self.key) as control:
            try:
                # What is wrong with the agent's key is said here.
                await control.totals(self.cell_id)
            except ProxyRefused as error:
                if error.code != "no_such_cell":
                    raise
        async with ControlClient(self.control, self.seal_key) as control:
            await control.open_cell(self.cell_id)

    async def seal(self) -> SealedCell:
        """Close the cell and return its lines.

        Raises:
            ProxyRefused: The proxy is gone, or sealed the cell before.
        """
        async with ControlClient(self.control, self.seal_key) as control:
            return await control.seal(self.cell_id)


@asynccontextmanager
async def embedded_meter(  # noqa: PLR0913 - all that makes a proxy of one cell
    cell_id: str,
    ttl_s: int,
    *,
    upstream: str,
    upstream_key: str | None,
    ledger: Path,
    host: str = "127.0.0.1",
    seal_key_file: Path | None = None,
    capture: bool = False,
    prices_file: Path | None = None,
    provider: str | None = None,
) -> AsyncGenerator[Meter]:
    """Run a proxy in this process for one cell.

    Args:
        cell_id: The cell.
        ttl_s: Seconds until its key expires.
        upstream: Base URL of the endpoint, or `demo`.
        upstream_key: The endpoint's key.
        ledger: Folder of the audit log.
        host: Address to listen on; without the cell's key nobody gets through.
        seal_key_file: Private key that signs the cell's seal.
        capture: Whether the bodies of its calls are kept.
        prices_file: Table of what models cost.
        provider: Who sells the tokens.

    Raises:
        BadConfig: The upstream is not a URL, or the ledger cannot be written.
        ProxyRefused: The ledger has calls of the cell already.
    """
    values: dict[str, object] = {
        "upstream": upstream,
        "host": host,
        "port": 0,
        "ledger": ledger,
        "auth": "keys",
    }
    values["state"] = ledger / STATE_INSIDE
    values |= {"seal_key_file": seal_key_file, "capture": "bodies" if capture else "off"}
    values |= {"prices_file": prices_file, "provider": provider}
    settings = parse_settings(values, "command line")
    # A key of this run only: nothing that could sign is left beside the ledger.
    signing_key = new_signing_key()
    async with running_proxy(settings, upstream_key=upstream_key, signing_key=signing_key) as proxy:
        cell = await proxy.open_cell(cell_id, ttl_s)
        yield Meter(proxy.url, proxy.control_url, cell_id, cell.key, cell.seal_key, proxy.demo)


async def given_meter(  # noqa: PLR0913 - the addresses and keys of somebody else's proxy
    cell_id: str,
    ttl_s: int,
    *,
    url: str,
    control: str | None = None,
    signing_key: str | None,
    cell_keys: CellKeys | None = None,
) -> Meter:
    """Return a proxy that runs elsewhere, once it is known to take the cell.

    Args:
        cell_id: The cell.
        ttl_s: Seconds until its key expires.
        url: Where it listens, with or without `/v1`.
        control: Where its control API is; None is the same URL.
        signing_key: The secret that it checks keys with.
        cell_keys: The cell's keys, where the proxy's owner has made them; the signing key is not needed.

    Raises:
        AdapterError: There is no key of either kind.
        BadConfig: The signing key is too short, or an address is not one.
        ProxyRefused: Nothing like a proxy answers there, or it does not take the keys,
            or the cell has calls already.
    """
    if signing_key is None and cell_keys is None:
        raise AdapterError(
            "CAB_SIGNING_KEY is not set; a given proxy needs it, or cell keys cannot be made"
        )
    async with ControlClient(url) as proxy:  # of the URL that the agent is going to call
        await proxy.require_ready()
    keys = cell_keys or _minted(signing_key or "", cell_id, ttl_s)
    base = url.rstrip("/").removesuffix("/v1")
    meter = Meter(base, control or base, cell_id, *keys)
    await meter.open()
    return meter


def _minted(signing_key: str, cell_id: str, ttl_s: int) -> CellKeys:
    return mint_both(parse_signing_keys(signing_key), cell_id, ttl_s, int(time.time()))


async def check_reachable(upstream: str) -> None:
    """Make sure that something listens at an endpoint: an agent would spend minutes on retries.

    Args:
        upstream: Base URL, or `demo`.

    Raises:
        AdapterError: Nothing does.
        BadConfig: It is not a URL.
    """
    upstream = parse_settings({"upstream": upstream}, "command line").upstream
    if upstream == DEMO:
        return
    parts = urlsplit(upstream)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(_CONNECT_LIMIT_S):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except (OSError, UnicodeError) as error:
        raise AdapterError(
            f"upstream {upstream} cannot be reached ({_why_unreachable(error)}); "
            "fix CAB_ENDPOINT or --upstream"
        ) from error
    writer.close()
    # The other mix-up shows when calls fail: a server without TLS may wait long for the end of a handshake.
    if parts.scheme == "https" and (fault := await scheme_fault(upstream)):
        raise AdapterError(f"upstream {upstream}: {fault}")


def _why_unreachable(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "its host is not a valid name"
    code = error.errno or 0  # names that cannot be resolved have negative codes of their own
    return os.strerror(code) if code > 0 else error.strerror or "no answer in time"
