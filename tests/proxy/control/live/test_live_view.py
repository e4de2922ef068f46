"""The live view of running proxies: who may look, what they see, and that it ends."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.app import running_proxy
from cab.proxy.config import ProxySettings
from cab.proxy.control.client import ControlClient
from cab.proxy.control.live.feed import MOST_VIEWERS
from cab.proxy.control.live.tokens import new_live_token, spend_live_token
from cab.proxy.control.running_proxy import RunningProxy
from cab.proxy.errors import ProxyRefused
from cab.proxy.workers.supervisor import running_workers
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.proxy import Meter, metered
from tests.tools.upstream import json_answer, scripted_upstream
from tests.tools.wires import AIOHTTP

ADMIN = "admin-token-of-the-tests"
NOWHERE = "http://127.0.0.1:9"
ANSWER = [json_answer(BY_ENDPOINT["chat.completions"].answer)]
CELL = "s/aider/m/f/t"


async def first_with(states: AsyncGenerator[dict[str, Any]], calls: int) -> dict[str, Any]:
    """Return the first state in which a cell has so many calls."""
    async with asyncio.timeout(20), aclosing(states) as found:
        async for state in found:
            if any(cell["calls"] == calls for cell in state["cells"]):
                return state
    raise AssertionError


async def get(meter: Meter, path: str, **options: Any) -> aiohttp.ClientResponse:
    answer = await meter.client.get(f"{meter.url}{path}", allow_redirects=False, **options)
    await answer.read()
    return answer


def token_of(meter: Meter, folder: Path) -> str:
    state = ProxySettings.model_validate(
        {"upstream": NOWHERE, "ledger": folder / "ledger"}
    ).state_folder
    assert meter.proxy.ledger_dir == folder / "ledger"
    return new_live_token(state, int(time.time()))


async def test_the_printed_address_opens_once(tmp_path: Path) -> None:
    """It gives a cookie that no script can read; used once more, or guessed, it opens nothing."""
    async with metered(NOWHERE, tmp_path, auth="keys") as meter:
        token = token_of(meter, tmp_path)
        opened = await get(meter, f"/cab/?token={token}")
        assert (opened.status, opened.headers["Location"]) == (303, "/cab/")
        cookie = opened.cookies["cab_live"]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/cab/")
        assert token not in cookie.value
        meter.client.cookie_jar.clear()
        for path in (f"/cab/?token={token}", "/cab/?token=guessed", "/cab/", "/cab/live/events"):
            assert (await get(meter, path)).status == 401
        page = await get(meter, "/cab/", cookies={"cab_live": cookie.value})
        assert page.status == 200
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        meter.client.cookie_jar.clear()
        until, _, signature = cookie.value.partition(".")
        for forged in (f"{int(until) + 1}.{signature}", f"{until}.", "1.x", "é.é", f"{until}"):
            headers = {"Cookie": f"cab_live={forged}"}
            assert (await get(meter, "/cab/", headers=headers)).status == 401


async def test_a_cells_keys_and_loopback_open_nothing(tmp_path: Path) -> None:
    """Agents live on this machine and hold keys: neither is a right to look at the others."""
    async with metered(NOWHERE, tmp_path, auth="keys", admin_token=ADMIN) as meter:
        keys = meter.proxy.mint_keys(CELL, 600)
        for bearer in (None, keys.call, keys.seal, "x" * 40):
            headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
            for path in ("/cab/", "/cab/live/events"):
                assert (await get(meter, path, headers=headers)).status == 401
            in_path = await get(meter, f"/cell/{bearer}/cab/", headers=headers)
            assert in_path.status in {401, 404}
        headers = {"Authorization": f"Bearer {ADMIN}"}
        assert (await get(meter, "/cab/", headers=headers)).status == 200


async def test_states_follow_the_calls(tmp_path: Path) -> None:
    """Calls of before and of now are in the states."""
    async with (
        scripted_upstream(ANSWER) as upstream,
        metered(upstream.url, tmp_path, admin_token=ADMIN, cell=CELL) as meter,
        ControlClient(meter.url, ADMIN) as control,
    ):
        await meter.chat()
        state = await first_with(control.states(), 1)
        assert state["cells"][0]["cell_id"] == CELL
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(first_with(control.states(), 2))
            await meter.chat()
        assert waiting.result()["minute"]["calls"] == 2


async def test_viewers_share_the_work(tmp_path: Path) -> None:
    """Two get the same bytes, made once, with the same number; a third one has them read nothing anew."""
    async with metered(NOWHERE, tmp_path, admin_token=ADMIN) as meter:
        feed = meter.proxy._server._control._live_view()._feed
        async with feed.viewer() as one, feed.viewer() as two:
            task = feed._task
            async with asyncio.timeout(20):
                first, second = await one.get(), await two.get()
                async with feed.viewer() as three:
                    assert await three.get() is await one.get()
            assert first is second
            assert first is not None
            assert first.event.startswith(b'data: {"at_ms":')
            assert feed._task is task


@pytest.mark.asyncio(loop_factories=[AIOHTTP.name])  # the parent of workers runs on asyncio's loop
@pytest.mark.parametrize("workers", [1, 2])
async def test_budgets_of_keys(tmp_path: Path, workers: int) -> None:
    """What a cell's key allows is in the states, whichever process has seen the key; after a restart nobody knows it."""
    values = {"port": 0, "ledger": tmp_path / "ledger", "grace_s": 5, "workers": workers}
    limits = KeyLimits(max_calls=9, max_tokens=10_000)
    async with scripted_upstream(ANSWER) as upstream:
        settings = ProxySettings.model_validate(
            {**values, "auth": "keys", "upstream": upstream.url, "log_level": "error"}
        )
        running: AbstractAsyncContextManager[RunningProxy] = (
            running_workers(settings, kill_after_s=5, admin_token=ADMIN)
            if workers > 1
            else running_proxy(settings, admin_token=ADMIN)
        )
        async with running as proxy:
            key = proxy.mint_key(CELL, 600, limits)
            for _ in range(4):
                async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as by:
                    body = {"model": "m", "messages": []}
                    await (await by.post(f"{proxy.url}/v1/chat/completions", json=body)).read()
            async with ControlClient(proxy.url, ADMIN) as control:
                [cell] = (await first_with(control.states(), 4))["cells"]
        tokens = {"limit": 10_000, "spent": cell["tokens"]}
        expires_ms = cell["budget"].pop("expires_ms")
        assert 0 < expires_ms - cell["first_ms"] <= 600_000
        assert cell["budget"] == {"calls": {"limit": 9, "spent": 4}, "tokens": tokens}
        if workers == 1:
            async with (
                running_proxy(settings, admin_token=ADMIN) as restarted,
                ControlClient(restarted.url, ADMIN) as control,
            ):
                [cell] = (await first_with(control.states(), 4))["cells"]
            assert cell["budget"] is None


async def test_a_stop_of_the_proxy_ends_the_stream(tmp_path: Path) -> None:
    """Whoever looks does not hold it up, and sees an end, not an error."""
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(AsyncExitStack())
        meter = await running.enter_async_context(metered(NOWHERE, tmp_path, admin_token=ADMIN))
        control = await stack.enter_async_context(ControlClient(meter.url, ADMIN))
        states = control.states()
        assert (await anext(states))["cells"] == []
        await running.aclose()
        async with asyncio.timeout(20):
            assert await _all(states) <= 2


async def _all(states: AsyncGenerator[dict[str, Any]]) -> int:
    """Return how many states came until the end."""
    return len([state async for state in states])


async def test_nothing_follows_while_nobody_looks(tmp_path: Path) -> None:
    """The last one who goes ends the task; too many at once are refused with a reason."""
    async with metered(NOWHERE, tmp_path, admin_token=ADMIN) as meter:
        feed = meter.proxy._server._control._live_view()._feed
        async with ControlClient(meter.url, ADMIN) as control:
            open_streams = [control.states() for _ in range(MOST_VIEWERS)]
            for stream in open_streams:
                assert (await anext(stream))["cells"] == []
            with pytest.raises(ProxyRefused, match="too many look at the live view"):
                await anext(control.states())
            for stream in open_streams:
                await stream.aclose()
        async with asyncio.timeout(20):
            while feed._task is not None:  # noqa: ASYNC110 - nothing tells when the proxy has noticed
                await asyncio.sleep(0.01)


async def test_the_control_socket_is_a_right(tmp_path: Path) -> None:
    """Only the proxy's user can open it; the agents' port has no live view then."""
    path = tmp_path / "control.sock"
    async with metered(NOWHERE, tmp_path, control_socket=path, admin_token=ADMIN) as meter:
        async with ControlClient(f"unix:{path}") as control, aclosing(control.states()) as states:
            assert (await anext(states))["running_cells"] == 0
        headers = {"Authorization": f"Bearer {ADMIN}"}
        assert (await get(meter, "/cab/", headers=headers)).status == 404


@pytest.mark.asyncio(loop_factories=[AIOHTTP.name])  # the parent of workers runs on asyncio's loop
async def test_each_worker_shows_the_calls_of_all(tmp_path: Path) -> None:
    """Whichever process answers, it follows all chains, and knows which tokens were used."""
    values = {"port": 0, "ledger": tmp_path / "ledger", "grace_s": 5, "workers": 2, "cell": CELL}
    async with scripted_upstream(ANSWER) as upstream:
        settings = ProxySettings.model_validate(
            {**values, "upstream": upstream.url, "log_level": "error"}
        )
        async with running_workers(settings, kill_after_s=5, admin_token=ADMIN) as proxy:
            for _ in range(12):  # connections of their own: the kernel spreads them
                async with aiohttp.ClientSession() as client:
                    body = {"model": "m", "messages": []}
                    await (await client.post(f"{proxy.url}/v1/chat/completions", json=body)).read()
            async with ControlClient(proxy.url, ADMIN) as control:
                assert (await first_with(control.states(), 12))["minute"]["calls"] == 12
            token = new_live_token(settings.state_folder, int(time.time()))
            found = []
            for _ in range(6):
                async with aiohttp.ClientSession() as client:
                    url = f"{proxy.url}/cab/?token={token}"
                    found.append((await client.get(url, allow_redirects=False)).status)
            assert found == [303, 401, 401, 401, 401, 401]


def test_old_tokens_open_nothing(tmp_path: Path) -> None:
    """After a day a token is invalid, and goes when another one is made."""
    now_s = int(time.time())
    old = new_live_token(tmp_path, now_s)
    assert not spend_live_token(tmp_path, old, now_s + 90_000)
    new_live_token(tmp_path, now_s)
    new_live_token(tmp_path, now_s + 90_000)
    assert len(list((tmp_path / "live-tokens").iterdir())) == 1
    assert not spend_live_token(tmp_path / "none", "x", now_s)


async def test_a_ledger_that_cannot_be_read_ends_the_view(tmp_path: Path) -> None:
    """Nobody waits for a state that does not come, and the view is there again once the ledger is."""
    async with (
        metered(NOWHERE, tmp_path, admin_token=ADMIN) as meter,
        ControlClient(meter.url, ADMIN) as control,
    ):
        bad = tmp_path / "ledger" / "w9-000001.jsonl"
        for _ in range(2):
            async with asyncio.timeout(20):
                states = control.states()
                await anext(states)
                bad.symlink_to("/proc/self/mem")  # a regular file; reading it is an I/O error
                assert await _all(states) <= 1
            bad.unlink()
