"""Which upgrades become a connection: all others are a 426, with which codex posts at once."""

import asyncio
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from cab.proxy.clock import Clock
from tests.tools.proxy import metered
from tests.tools.websockets import Peer, connected, websocket_endpoint

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


async def silent(peer: Peer) -> None:
    await peer.until_closed()


def answering(status: int, **headers: str) -> Any:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, headers=headers, text="no")

    return answer


async def upgrade(
    client: aiohttp.ClientSession, url: str, path: str = "/v1/responses", **changed: Any
) -> tuple[int, str]:
    """Send an upgrade; return status and code of the answer."""
    method = changed.pop("method", "GET")
    headers = {**UPGRADE, **changed.pop("headers", {})}
    async with asyncio.timeout(20), client.request(method, url + path, headers=headers) as answer:
        return answer.status, (await answer.json())["error"]["code"]


@pytest.mark.parametrize("status", [200, 400, 404, 405, 426, 501])
async def test_a_clear_no_is_remembered_for_a_while(tmp_path: Path, status: int) -> None:
    """The second upgrade does not reach the endpoint; ten minutes later one does again."""
    later_ns = 0
    clock = Clock(mono_ns=lambda: time.monotonic_ns() + later_ns)
    async with (
        websocket_endpoint(silent, refuse=answering(status)) as endpoint,
        metered(endpoint.url, tmp_path, clock=clock) as meter,
    ):
        for _ in range(2):
            assert await upgrade(meter.client, meter.url) == (426, "websocket_unsupported")
            assert len(endpoint.upgrades) == 1
        later_ns = 601 * 10**9
        assert await upgrade(meter.client, meter.url) == (426, "websocket_unsupported")
        assert len(endpoint.upgrades) == 2
        await meter.settled(0)


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_another_answer_is_not_remembered(tmp_path: Path, status: int) -> None:
    async with (
        websocket_endpoint(silent, refuse=answering(status)) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
    ):
        for _ in range(2):
            assert await upgrade(meter.client, meter.url) == (426, "websocket_unsupported")
        assert len(endpoint.upgrades) == 2


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    """The key of the endpoint must not go elsewhere."""
    async with websocket_endpoint(silent) as elsewhere:
        refuse = answering(307, Location=f"{elsewhere.url}/v1/responses")
        async with (
            websocket_endpoint(silent, refuse=refuse) as endpoint,
            metered(endpoint.url, tmp_path) as meter,
        ):
            assert await upgrade(meter.client, meter.url) == (426, "websocket_unsupported")
    assert elsewhere.upgrades == []


async def test_an_endpoint_that_is_silent_or_away(tmp_path: Path) -> None:
    """The client has its 426 long before it would give up."""
    waiting = asyncio.Event()

    async def never(_: web.BaseRequest) -> web.StreamResponse:
        await waiting.wait()
        return web.Response()

    async with websocket_endpoint(silent, refuse=never) as endpoint:
        url = endpoint.url
        async with metered(url, tmp_path, headers_timeout_s=0.05) as meter:
            assert await upgrade(meter.client, meter.url) == (426, "websocket_unsupported")
        waiting.set()
    async with metered(url, tmp_path) as meter:
        assert await upgrade(meter.client, meter.url) == (426, "websocket_unsupported")


@pytest.mark.parametrize(
    ("path", "changed", "code"),
    [
        ("/v1/chat/completions", {}, "upgrade_refused"),
        ("/v1/responses/compact", {}, "upgrade_refused"),
        ("/v1/realtime", {}, "upgrade_refused"),
        ("/v1/responses", {"method": "POST"}, "upgrade_refused"),
        ("/v1/responses", {"headers": {"Sec-WebSocket-Version": "12"}}, "bad_handshake"),
        ("/v1/responses", {"headers": {"Sec-WebSocket-Key": "short"}}, "bad_handshake"),
    ],
)
async def test_other_upgrades_are_refused_here(
    tmp_path: Path, path: str, changed: dict[str, Any], code: str
) -> None:
    """Nothing of them reaches the endpoint."""
    async with (
        websocket_endpoint(silent) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
    ):
        assert await upgrade(meter.client, meter.url, path, **changed) == (426, code)
    assert endpoint.upgrades == []


async def test_an_upgrade_without_a_valid_key_is_a_426(tmp_path: Path) -> None:
    """codex posts then, and sees the 401 there; on an upgrade it would try a 401 six times more."""
    async with (
        websocket_endpoint(silent) as endpoint,
        metered(endpoint.url, tmp_path, auth="keys") as meter,
    ):
        assert await upgrade(meter.client, meter.url) == (426, "invalid_api_key")
    assert endpoint.upgrades == []


async def test_without_a_key_of_the_proxy_the_clients_passes(tmp_path: Path) -> None:
    async with (
        websocket_endpoint(silent) as endpoint,
        metered(endpoint.url, tmp_path, key=None) as meter,
    ):
        sent = {"Authorization": "Bearer own-key-canary"}
        async with connected(meter.client, meter.url, headers=sent) as client:
            await client.ws.close()
    assert endpoint.upgrades[0].headers["Authorization"] == "Bearer own-key-canary"


async def test_a_client_that_leaves_during_the_handshake(tmp_path: Path) -> None:
    """The endpoint's side ends too."""
    asked, gone = asyncio.Event(), asyncio.Event()

    async def waits(request: web.BaseRequest) -> web.StreamResponse:
        asked.set()
        while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110
            await asyncio.sleep(0)
        gone.set()
        return web.Response()

    async with (
        websocket_endpoint(silent, refuse=waits) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
    ):
        trying = asyncio.get_running_loop().create_task(upgrade(meter.client, meter.url))
        await asked.wait()
        trying.cancel()
        async with asyncio.timeout(20):
            await gone.wait()
