"""A proxy inside a program: what it offers, with one process and with several."""

import asyncio
import json
import logging
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import cab.proxy
from cab.proxy import BadConfig, KeyLimits, OpenCell, ProxyRefused, running_proxy, start_proxy
from tests.tools.client import post
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.proxy import records
from tests.tools.upstream import json_answer, scripted_upstream

CHAT = BY_ENDPOINT["chat.completions"]
CELL = "nightly/my-agent/demo/chat/hello"
KEY = "the-endpoints-key-0123"


def chat(cell: OpenCell) -> int:
    """Make a call as a plain program does."""
    body = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
    headers = {**cell.headers, "Content-Type": "application/json"}
    request = urllib.request.Request(
        f"{cell.base_url}/chat/completions", json.dumps(body).encode(), headers
    )
    try:
        with urllib.request.urlopen(request) as response:
            response.read()
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("apart", [{}, {"control_port": 0}, {"control_socket": "control.sock"}])
async def test_on_an_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, apart: dict[str, Any]
) -> None:
    """A cell is opened, called, summed and sealed; the endpoint gets the key that was given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAB_KEY", "another-key-from-the-shell")
    async with (
        scripted_upstream([json_answer(CHAT.answer)]) as upstream,
        running_proxy(
            upstream=upstream.url,
            key=KEY,
            ledger=tmp_path / "ledger",
            auth="keys",
            workers=workers,
            **apart,
        ) as proxy,
    ):
        cell = await proxy.open_cell(CELL, ttl_s=60, limits=KeyLimits(max_calls=1))
        bearer = f"Authorization: {cell.headers['Authorization']}"
        assert (await post(cell.url, CHAT.path, CHAT.request, bearer)).status == 200
        assert (await post(cell.url, CHAT.path, CHAT.request, bearer)).status == 400
        assert (await proxy.totals(CELL))["total_tokens"] == 78
        with pytest.raises(ProxyRefused, match="has calls of"):
            await proxy.open_cell(CELL, ttl_s=60)
        sealed = await proxy.seal(CELL)
        with pytest.raises(ProxyRefused, match="is sealed already"):
            await proxy.seal(CELL)
    assert (sealed.seal["calls"], sealed.lines.count(b"\n")) == (1, 3)
    assert upstream.received[0].header("Authorization") == f"Bearer {KEY}"
    assert not (tmp_path / "ledger" / "signing.key").exists()


async def test_endpoints_of_routes_get_their_keys(tmp_path: Path) -> None:
    """A route has the key that it names, and one that names none has the proxy's."""
    async with scripted_upstream([json_answer(CHAT.answer)]) as upstream:
        routes = [
            {"models": ["own-*"], "upstream": upstream.url, "key_env": "OWN"},
            {"models": ["shared-*"], "upstream": upstream.url},
        ]
        async with running_proxy(
            upstream="demo", key=KEY, route_keys={"OWN": "own-key"}, routes=routes, ledger=tmp_path
        ) as proxy:
            for model in ("own-1", "shared-1"):
                seen = await post(proxy.url, CHAT.path, {**CHAT.request, "model": model})
                assert seen.status == 200
    sent = [request.header("Authorization") for request in upstream.received]
    assert sent == ["Bearer own-key", f"Bearer {KEY}"]


@pytest.mark.parametrize("workers", [1, 2])
def test_without_an_event_loop(tmp_path: Path, workers: int) -> None:
    """The same on a thread; leaving the block stops the proxy in order."""
    with start_proxy(upstream="demo", ledger=tmp_path, auth="keys", workers=workers) as proxy:
        cell = proxy.open_cell(CELL, ttl_s=60)
        assert chat(cell) == 200
        assert proxy.totals(CELL)["calls"] == 1
        assert proxy.seal(CELL).seal["cell_id"] == CELL
        assert chat(cell) == 409
        assert proxy.ledger_dir == tmp_path
        assert proxy.mint_key(CELL, 60) not in repr(cell)
        assert cell.key not in repr(cell)
    assert len(records(tmp_path, "proxy_stop")) == workers
    with pytest.raises(urllib.error.URLError):
        chat(cell)


def test_an_error_inside_the_block_stops_the_proxy(tmp_path: Path) -> None:
    """An exception of the program passes, and nothing is left running."""
    with pytest.raises(ZeroDivisionError), start_proxy(upstream="demo", ledger=tmp_path):
        _ = 1 / 0
    assert len(records(tmp_path, "proxy_stop")) == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"upstream": "demo", "ledgr": "x"},
            "running_proxy: ledgr: unknown setting; did you mean 'ledger'",
        ),
        ({"upstream": "ftp://h"}, "'ftp://h' is"),
        ({"upstream": "demo", "signing_key": "short"}, "fewer than 32 bytes"),
        ({"upstream": "demo", "ledger": "/proc/none", "workers": 2}, "cannot be written"),
    ],
)
def test_what_cannot_be_run_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], said: str
) -> None:
    """A wrong setting is the same error as of the command, in the program's own thread."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadConfig, match=said), start_proxy(**settings):
        pytest.fail("it must not start")


def test_two_at_a_time(tmp_path: Path) -> None:
    """Two proxies of one program have ledgers and keys of their own."""
    with (
        start_proxy(upstream="demo", ledger=tmp_path / "a", auth="keys") as one,
        start_proxy(upstream="demo", ledger=tmp_path / "b", auth="keys") as two,
    ):
        cell = one.open_cell(CELL, ttl_s=60)
        assert chat(cell) == 200
        stranger = OpenCell(CELL, cell.key, two.url)
        assert chat(stranger) == 401


async def test_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """What a proxy logs goes through `logging`: the program decides what becomes of it."""
    caplog.set_level(logging.INFO, "cab")
    async with running_proxy(upstream="demo", ledger=tmp_path, auth="keys") as proxy:
        cell = await proxy.open_cell(CELL, ttl_s=60)
        assert await asyncio.to_thread(chat, cell) == 200
    assert capfd.readouterr() == ("", "")
    [line] = [each.getMessage() for each in caplog.records if each.name == "cab.proxy"]
    assert line.startswith(f"call cell={CELL} endpoint=chat.completions")


def test_all_that_is_listed_is_there() -> None:
    """Every name of `__all__` exists, shows in a prompt, and others are no attributes."""
    assert all(getattr(cab.proxy, name) is not None for name in cab.proxy.__all__)
    assert set(cab.proxy.__all__) <= set(dir(cab.proxy))
    with pytest.raises(AttributeError, match="has no attribute 'nonesuch'"):
        _ = cab.proxy.nonesuch  # type: ignore[attr-defined]


def test_the_import_is_cheap() -> None:
    """`import cab.proxy` loads no dependency; each name loads what it needs."""
    heavy = ("aiohttp", "pydantic", "tiktoken", "structlog", "cab.scoring")
    code = f"import sys, cab.proxy; print([name for name in {heavy!r} if name in sys.modules])"
    printed = subprocess.check_output([sys.executable, "-c", code], text=True, env={**os.environ})
    assert printed == "[]\n"
