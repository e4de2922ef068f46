"""A real proxy in front of an upstream, and a raw client to look at what it sends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from cab.proxy.app import Proxy, running_proxy
from cab.proxy.clock import Clock
from cab.proxy.config import ProxySettings
from tests.tools.raw import connected
from tests.tools.tls import client_context

REAL_KEY = "sk-real-canary-0123456789"
WIRE: dict[str, Any] = {}
"""Settings that a folder of tests runs all its proxies with; see `tests/proxy/forwarding/conftest.py`."""


def records(folder: Path, kind: str = "end") -> list[dict[str, Any]]:
    """Return a ledger's records of one kind, in order."""
    lines = [s for f in sorted(folder.glob("*.jsonl")) for s in f.read_bytes().splitlines()]
    return [record for record in map(orjson.loads, lines) if record["kind"] == kind]


@dataclass
class Meter:
    """A proxy under test, with a plain client."""

    proxy: Proxy
    client: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return self.proxy.url

    def ends(self) -> list[dict[str, Any]]:
        return records(self.proxy.ledger_dir)

    def starts(self) -> list[dict[str, Any]]:
        return records(self.proxy.ledger_dir, "start")

    async def noticed(self) -> None:
        """Wait until the proxy has noticed that every client of a live call has gone."""
        async with asyncio.timeout(20):
            # A while with sleep(0): nothing tells a test when the proxy has noticed.
            while not all(call.client_gone for call in self.proxy._server.calls):  # noqa: ASYNC110
                await asyncio.sleep(0)

    async def settled(self, calls: int) -> list[dict[str, Any]]:
        """Return the END records once no call is in flight; each has its START."""
        assert await self.proxy.quiet(20)
        ends = self.ends()
        assert len(ends) == calls
        made = [r["call_id"] for r in ends if r["end_reason"] != "rejected"]
        assert sorted(r["call_id"] for r in self.starts()) == sorted(made)
        return ends

    async def chat(self, **body: Any) -> aiohttp.ClientResponse:
        """Send a chat completion and return the answer, body read."""
        answer = await self.client.post(f"{self.url}/v1/chat/completions", json=chat_body(**body))
        await answer.read()
        return answer


def chat_body(**fields: Any) -> dict[str, Any]:
    """Return a small chat request."""
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}


@asynccontextmanager
async def metered(
    upstream: str,
    folder: Path,
    *,
    key: str | None = REAL_KEY,
    route_keys: dict[str, str] | None = None,
    signing_key: str | None = None,
    admin_token: str | None = None,
    metrics_token: str | None = None,
    otel: dict[str, str] | None = None,
    clock: Clock | None = None,
    **settings: Any,
) -> AsyncIterator[Meter]:
    """Run a proxy in front of an upstream, with its ledger in a folder."""
    values = {
        "upstream": upstream,
        "port": 0,
        "ledger": folder / "ledger",
        "grace_s": 5,
        **WIRE,
        **settings,
    }
    async with (
        running_proxy(
            ProxySettings.model_validate(values),
            upstream_key=key,
            route_keys=route_keys,
            signing_key=signing_key,
            admin_token=admin_token,
            metrics_token=metrics_token,
            otel=otel,
            clock=clock,
        ) as proxy,
        aiohttp.ClientSession(
            auto_decompress=False, connector=aiohttp.TCPConnector(ssl=client_context())
        ) as client,
    ):
        yield Meter(proxy, client)


async def raw_exchange(url: str, data: bytes) -> bytes:
    """Send bytes on a socket of their own and return all that comes until the peer closes."""
    async with connected(url) as line:
        line.send(data)
        return await line.rest()
