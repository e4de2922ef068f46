"""The client of the control API against a real proxy, and against what is not one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from cab.proxy import BadConfig, CabProxyError, ControlClient, KeyLimits, ProxyRefused
from tests.tools.client import post
from tests.tools.proxy import Meter, chat_body, metered
from tests.tools.upstream import Step, json_answer, scripted_upstream
from tests.tools.wires import DIRECT

WIRES = (DIRECT,)

ADMIN = "admin-token-of-the-tests"
CELL = "s/aider/org/m/f/t#run2"
ANSWER = {
    "id": "1",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hey"}}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
}


@asynccontextmanager
async def proxy_of(folder: Path, *script: Step, **settings: Any) -> AsyncIterator[Meter]:
    async with (
        scripted_upstream([*script, json_answer(ANSWER)]) as upstream,
        metered(upstream.url, folder, admin_token=ADMIN, auth="keys", **settings) as meter,
    ):
        yield meter


async def call(meter: Meter, key: str) -> int:
    sent = f"Authorization: Bearer {key}"
    return (await post(meter.url, "/v1/chat/completions", chat_body(), sent)).status


@pytest.mark.parametrize("address", ["{url}", "{url}/", "{url}/v1", "{url}/v1/", "socket", "port"])
async def test_the_admin_may_do_everything(tmp_path: Path, address: str) -> None:
    """Wherever the control API is: mint, sum, list, read, seal and revoke."""
    apart: dict[str, Any] = {
        "socket": {"control_socket": tmp_path / "control.sock"},
        "port": {"control_port": 0},
    }
    async with proxy_of(tmp_path, **apart.get(address, {})) as meter:
        there = meter.proxy.control_url if address in apart else address.format(url=meter.url)
        async with ControlClient(there, ADMIN) as control:
            await control.require_ready()
            await control.require_unused(CELL)
            minted = await control.mint(CELL, 60, KeyLimits(max_calls=2))
            assert (minted["cell_id"], minted["limits"]) == (CELL, {"max_calls": 2})
            assert await call(meter, minted["key"]) == 200
            with pytest.raises(ProxyRefused, match=r"has calls of .* already; name another cell"):
                await control.require_unused(CELL)
            totals = await control.totals(CELL)
            assert (totals["calls"], totals["total_tokens"]) == (1, 18)
            assert [cell async for cell in control.cells("s/")] == [totals]
            sealed = await control.seal(CELL)
            assert sealed.seal["records"] == sealed.lines.count(b"\n") == 2
            assert sealed.lines == await control.calls(CELL)
            other = await control.mint("other", 60)
            assert await control.revoke(key=other["key"]) == {
                "cell_id": None,
                "key_id": other["key_id"],
                "known": True,
                "before": False,
            }
            assert await call(meter, other["key"]) == 401


async def test_a_cells_key_is_good_for_its_cell(tmp_path: Path) -> None:
    """With the cell's seal key its totals and its seal can be had, and nothing of another cell."""
    async with proxy_of(tmp_path) as meter:
        control = ControlClient(meter.url, meter.proxy.mint_keys(CELL, 60).seal)
        async with control:
            await control.require_unused(CELL)
            for ask in (control.totals, control.calls, control.seal):
                with pytest.raises(ProxyRefused, match="never opened or called"):
                    await ask(CELL)
            await control.open_cell(CELL)
            assert (await control.totals(CELL))["calls"] == 0
            with pytest.raises(ProxyRefused, match="another cell's") as caught:
                await control.totals("other")
            assert (caught.value.address, caught.value.code) == (meter.url, "other_cell")
            await control.seal(CELL)
            with pytest.raises(ProxyRefused, match="is sealed already"):
                await control.seal(CELL)


async def test_many_cells_come_page_by_page(tmp_path: Path) -> None:
    """All cells are yielded once, in order, however many pages they are."""
    async with proxy_of(tmp_path) as meter:
        names = [f"s/{number:04}" for number in range(1005)]
        registry = meter.proxy._server._control._registry
        for name in names:
            registry.reopen(name)
        async with ControlClient(meter.url, ADMIN) as control:
            assert [cell["cell_id"] async for cell in control.cells("s/")] == names


async def test_a_seal_that_calls_hold_up_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While calls are in flight the seal is tried again; then it holds them."""
    monkeypatch.setattr("cab.proxy.control.sealing.SEAL_WAIT_S", 0.05)
    arrived, go = asyncio.Event(), asyncio.Event()

    async def begin() -> None:
        arrived.set()
        await go.wait()

    async with proxy_of(tmp_path, begin) as meter, asyncio.TaskGroup() as tasks:
        keys = meter.proxy.mint_keys(CELL, 60)
        calling = tasks.create_task(call(meter, keys.call))
        await arrived.wait()
        async with ControlClient(meter.url, keys.seal) as control:
            with pytest.raises(ProxyRefused, match=r"1 call of cell .* still in flight"):
                await control.seal(CELL)
            go.set()
            sealed = await control.seal(CELL)
        assert await calling == 200
    assert sealed.seal["calls"] == 1


@asynccontextmanager
async def answering(status: int, body: bytes) -> AsyncIterator[str]:
    """Run a server that gives one answer to everything."""

    async def handle(_: web.BaseRequest) -> web.Response:
        return web.Response(status=status, body=body)

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"<html>hello</html>", r"not a cab-proxy \(status 200\)"),
        (200, b"[]", "not a cab-proxy"),
        (200, b"{}", "not a cab-proxy"),
        (502, b"Bad Gateway", "not a cab-proxy"),
        (503, b'{"ready": false, "ledger_failure": "disk full"}', "disk full"),
        (503, b'{"ready": false, "ledger_failure": null}', "it is stopping"),
    ],
)
async def test_what_is_not_a_proxy_that_is_ready(status: int, body: bytes, said: str) -> None:
    """What answers at an address must be a proxy; one that takes no calls says why."""
    async with answering(status, body) as url, ControlClient(url) as control:
        with pytest.raises(ProxyRefused, match=f"proxy {url}: .*{said}"):
            await control.require_ready()


@pytest.mark.parametrize("body", [b"nonsense", b'{"error": "x"}', b'{"detail": "not found"}'])
async def test_errors_of_other_servers(body: bytes) -> None:
    """An error that no cab-proxy would give names the address, and no part of the answer."""
    async with answering(404, body) as url, ControlClient(url, "k") as control:
        with pytest.raises(ProxyRefused, match=r"not a cab-proxy \(status 404\)"):
            await control.seal(CELL)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://a..b", "unix:/nowhere/socket"])
async def test_nobody_there(address: str) -> None:
    """An address where nothing answers is named, with what to do."""
    async with ControlClient(address) as control:
        with pytest.raises(
            ProxyRefused, match=r"cannot be reached .*; start cab-proxy there"
        ) as no:
            await control.health()
    assert str(no.value).startswith(f"proxy {address}: ")


_ASKS: dict[str, Callable[[ControlClient], Awaitable[object]]] = {
    "health": lambda control: control.health(),
    "mint": lambda control: control.mint("a", 5),
    "revoke": lambda control: control.revoke(cell_id="a"),
    "totals": lambda control: control.totals("a"),
    "calls": lambda control: control.calls("a"),
    "cells": lambda control: anext(control.cells()),
    "seal": lambda control: control.seal("a"),
}


@pytest.mark.parametrize("ask", list(_ASKS))
@pytest.mark.parametrize(
    "body",
    [b"{}", b"[]", b"[[1,2]]", b"null", b'"ab"', b'{"cells": 5}', b'{"cells": [1]}', b"<html>\n"],
)
async def test_json_of_other_servers(ask: str, body: bytes) -> None:
    """An answer without what a cab-proxy would say is never taken for one."""
    async with answering(200, body) as url, ControlClient(url, "k") as control:
        with pytest.raises(ProxyRefused, match=r"not a cab-proxy \(status 200\)"):
            await _ASKS[ask](control)


async def test_values_that_cannot_be_sent() -> None:
    """A wrong value is named before anything is sent."""
    async with ControlClient("http://127.0.0.1:9") as control:
        for asked in (control.totals, control.calls, control.seal):
            with pytest.raises(BadConfig, match=r"cell_id must be valid text; '\\ud800' is not"):
                await asked("\ud800")
            with pytest.raises(BadConfig, match="cell_id is empty"):
                await asked("")
        with pytest.raises(BadConfig, match="prefix must be valid text"):
            await anext(control.cells("\ud800"))
        with pytest.raises(BadConfig, match="ttl_s: Input should be less than"):
            await control.mint("a", 10**30)
        with pytest.raises(BadConfig, match="cannot be sent"):
            await control.revoke(key="\ud800")


async def test_a_client_that_is_not_open() -> None:
    """Before and after its block a client says how it is used."""
    control = ControlClient("http://127.0.0.1:9")
    with pytest.raises(CabProxyError, match="is not open; use it inside: async with"):
        await control.health()
    async with control:
        pass
    with pytest.raises(CabProxyError, match="is not open"):
        await control.health()


@pytest.mark.parametrize("address", ["http://user:canary@h", "http://user:canary@h:x"])
def test_an_address_with_a_password(address: str) -> None:
    """A password has no place in an address, and the error does not show it."""
    with pytest.raises(BadConfig) as caught:
        ControlClient(address)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [None, 5, b"http://h", "http://h:99999", "http://h:x", "http://h?a=b", "http://h#f", "unix:\0"],
)
def test_an_address_of_a_wrong_form(address: Any) -> None:
    """A port that cannot be, a query, and what is not text are refused at once."""
    with pytest.raises(BadConfig, match="is not an http"):
        ControlClient(address)


@pytest.mark.parametrize("address", ["", "h:1", "ftp://h", "unix:", "http://", "http://[", "/v1"])
def test_what_is_not_an_address(address: str) -> None:
    """Anything but a URL or a socket's path is refused at once."""
    with pytest.raises(BadConfig, match="is not an http"):
        ControlClient(address)


def test_a_key_that_cannot_be_sent() -> None:
    """A key with a line end, as from a file, is named without showing it."""
    with pytest.raises(BadConfig, match="has a line end") as caught:
        ControlClient("http://h", "canary\n")
    assert "canary" not in str(caught.value)
    with pytest.raises(BadConfig, match="is not valid UTF-8 text"):
        ControlClient("http://h", "canary\ud800")
    with pytest.raises(BadConfig, match="must be text, not int"):
        ControlClient("http://h", cast("Any", 5))
