"""A proxy inside a program: what it offers, with one process and with several."""

import asyncio
import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

import cab.proxy
from cab.proxy import (
    BadConfig,
    BlockingProxy,
    KeyLimits,
    OpenCell,
    ProxyRefused,
    running_proxy,
    start_proxy,
)
from cab.proxy.auth.cell_keys import unverified
from tests.tools.client import post
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.proxy import records
from tests.tools.tls import certificate
from tests.tools.upstream import (
    LAST_CHUNK,
    Fault,
    Script,
    Step,
    chunk,
    json_answer,
    scripted_upstream,
    sse_head,
)

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


@pytest.mark.parametrize(
    ("workers", "apart"),
    [
        (1, {}),
        (1, {"control_port": 0, "tls_cert_file": str(certificate())}),
        (1, {"control_socket": "control.sock"}),
        (2, {"control_port": 0, "tls_cert_file": str(certificate())}),
        (2, {"control_socket": "control.sock"}),
    ],
    ids=["1", "1-port-tls", "1-socket", "2-port-tls", "2-socket"],
)
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
        [opened] = records(tmp_path / "ledger", "cell_open")
        assert opened["cell_id"] == CELL
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
        assert [opened["cell_id"] for opened in records(tmp_path, "cell_open")] == [CELL]
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
            "start_proxy: ledgr: unknown setting; did you mean 'ledger'",
        ),
        ({}, "start_proxy: no upstream; give the endpoint's URL, or 'demo'"),
        ({"upstream": "ftp://h"}, "start_proxy: upstream: 'ftp://h' is"),
        ({"upstream": "demo", "host": "0.0.0.0"}, "host: .* set auth to 'keys', or allow_open to"),
        ({"upstream": "demo", "signing_key": "short"}, "signing_key holds a key of fewer than 32"),
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


@pytest.mark.parametrize(
    ("secrets", "said"),
    [
        ({"key": 123}, "key must be text (str), not int"),
        ({"key": b"canary-canary"}, "key must be text (str), not bytes"),
        ({"key": "canary\n"}, "key has a line end or another control character; remove it"),
        ({"key": "canary\ud800"}, "key is not valid UTF-8 text; give it as it was issued"),
        ({"signing_key": 5}, "signing_key must be text (str), not int"),
        ({"signing_key": b"canary" * 9}, "signing_key must be text (str), not bytes"),
        (
            {"signing_key": "canary\ud800" * 9},
            "signing_key is not valid UTF-8 text; give it as it was made",
        ),
        ({"admin_token": 5}, "admin_token must be text (str), not int"),
        (
            {"admin_token": "canary" * 9 + "\n"},
            "admin_token has a line end or another control character; remove it",
        ),
        (
            {"admin_token": "canary" * 9 + "\ud800"},
            "admin_token is not valid UTF-8 text; give it as it was issued",
        ),
        ({"route_keys": ["A"]}, "route_keys must be a dict of key_env to key, not list"),
        ({"route_keys": {"A": 5}}, "route_keys['A'] must be text (str), not int"),
        (
            {"route_keys": {"A": "canary\n"}},
            "route_keys['A'] has a line end or another control character; remove it",
        ),
        (
            {"route_keys": {"NOPE": "canary"}},
            "route_keys: 'NOPE' is not the key_env of a route; add one or remove it",
        ),
    ],
)
async def test_a_wrong_secret_is_named_by_its_argument(
    tmp_path: Path, secrets: dict[str, Any], said: str
) -> None:
    """The error is one line with the argument's name, and no part of the secret."""
    routes = [{"models": ["x"], "upstream": "http://127.0.0.1:9", "key_env": "A"}]
    with pytest.raises(BadConfig) as caught:
        async with running_proxy(upstream="demo", ledger=tmp_path, routes=routes, **secrets):
            pytest.fail("it must not start")
    assert str(caught.value) == f"running_proxy: {said}"


_MINTS: list[tuple[tuple[Any, ...], str]] = [
    (("", 5), "cell_id: String should have at least 1 character"),
    ((5, 60), "cell_id: Input should be a valid string"),
    (("\ud800", 5), "cell_id: Input should be a valid string"),
    (("x", 0), "ttl_s: Input should be greater than or equal to 1"),
    (("x", 1.5), "ttl_s: Input should be a valid integer"),
    (("x", True), "ttl_s: Input should be a valid integer"),
    (("x", "5"), "ttl_s: Input should be a valid integer"),
    (("x", 10**30), "ttl_s: Input should be less than"),
    (("x", 5, KeyLimits(max_calls=-1)), "max_calls: Input should be greater"),
    (("x", 5, KeyLimits(max_tokens=10**30)), "max_tokens: Input should be less"),
    (("x", 5, KeyLimits(max_concurrency=cast("Any", "a"))), "max_concurrency: Input should be a"),
    (("x", 5, KeyLimits(max_cost_usd=Decimal("NaN"))), "max_cost_usd: String should match"),
    (("x", 5, {"max_calls": 1}), "limits must be a KeyLimits"),
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockingProxy]:
    with start_proxy(upstream="demo", ledger=tmp_path_factory.mktemp("ledger")) as proxy:
        yield proxy


@pytest.mark.parametrize(("arguments", "said"), _MINTS)
def test_no_key_is_made_of_wrong_values(
    running: BlockingProxy, arguments: tuple[Any, ...], said: str
) -> None:
    """What the control API would refuse is refused here too, in one line that names it."""
    for method in (running.mint_key, running.open_cell):
        with pytest.raises(BadConfig, match=f"no key was made: {re.escape(said)}") as caught:
            method(*arguments)
        assert "\n" not in str(caught.value)


def test_a_limit_of_many_digits_is_rounded_up(running: BlockingProxy) -> None:
    """The rest of a budget, to many places, is a limit that a key can hold."""
    key = running.mint_key("x", 5, KeyLimits(max_cost_usd=Decimal("1E-20")))
    limits = KeyLimits.from_claims(unverified(key) or {})
    assert limits == KeyLimits(max_cost_usd=Decimal("0.000000000001"))


@pytest.mark.filterwarnings("error")
def test_after_its_end_a_proxy_refuses(tmp_path: Path) -> None:
    """A proxy that has ended says so, on a thread and on a loop, and no key is made."""
    with start_proxy(upstream="demo", ledger=tmp_path) as blocking:
        pass
    for ask in (blocking.totals, blocking.seal):
        with pytest.raises(ProxyRefused, match="it has ended"):
            ask(CELL)
    for make in (blocking.open_cell, blocking.mint_key):
        with pytest.raises(ProxyRefused, match="it has ended"):
            make(CELL, 60)


@pytest.mark.parametrize("workers", [1, 2])
async def test_after_its_end_a_proxy_of_a_loop_refuses(tmp_path: Path, workers: int) -> None:
    """The same on an event loop, with one process and with several."""
    async with running_proxy(upstream="demo", ledger=tmp_path, workers=workers) as proxy:
        pass
    for work in (proxy.totals(CELL), proxy.seal(CELL), proxy.open_cell(CELL, 60)):
        with pytest.raises(ProxyRefused, match="it has ended"):
            await work
    with pytest.raises(ProxyRefused, match="it has ended"):
        proxy.mint_key(CELL, 60)


_INTERRUPTED = """
import os, signal, sys, threading
from cab.proxy import start_proxy
import cab.proxy.app
start = cab.proxy.app.open_cell_registry
async def interrupted(*parts):
    os.kill(os.getpid(), signal.SIGINT)
    return await start(*parts)
cab.proxy.app.open_cell_registry = interrupted
with start_proxy(upstream="demo", ledger=sys.argv[1]):
    threading.Event().wait(60)
"""


def test_an_interrupt_while_it_starts_ends_the_program(tmp_path: Path) -> None:
    """Ctrl-C at any time stops the proxy in order, and the program with it."""
    command = [sys.executable, "-c", _INTERRUPTED, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == -signal.SIGINT
    assert ended.stderr.endswith("KeyboardInterrupt\n")
    assert len(records(tmp_path, "proxy_stop")) == 1


async def test_what_libraries_log_is_redacted(tmp_path: Path) -> None:
    """With any handler, asyncio and aiohttp show no key of a proxy, even after its end."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    logging.getLogger().addHandler(handler)
    try:
        for workers in (1, 2):
            key = f"{workers}-is-in-this-key-only"
            async with running_proxy(upstream="demo", ledger=tmp_path, key=key, workers=workers):
                logging.getLogger("aiohttp.client").error("sent %s", key)
            error = ValueError(f"header Bearer {key}")
            context = {"message": f"Task exception was never retrieved {key}", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
            logging.getLogger("asyncio").error("%s is untouched", "the rest")
    finally:
        logging.getLogger().removeHandler(handler)
    assert "is-in-this-key-only" not in written.getvalue()
    assert written.getvalue().count("sent [redacted]") == 2
    assert written.getvalue().count("ValueError: header Bearer [redacted]") == 2
    assert written.getvalue().count("the rest is untouched") == 2


def test_two_at_a_time(tmp_path: Path) -> None:
    """Two proxies of one program have ledgers and keys of their own."""
    with (
        start_proxy(upstream="demo", ledger=tmp_path / "a", auth="keys") as one,
        start_proxy(upstream="demo", ledger=tmp_path / "b", auth="keys") as two,
    ):
        cell = one.open_cell(CELL, ttl_s=60)
        assert chat(cell) == 200
        stranger = OpenCell(CELL, cell.key, two.url, cell.seal_key)
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
    lines = [each.getMessage() for each in caplog.records if each.name == "cab.proxy"]
    assert [line.partition(" ")[0] for line in lines] == ["started", "call", "stopped"]
    assert f"cell={CELL} " in lines[1]


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


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
async def test_each_call_is_in_flight_or_in_the_totals(tmp_path: Path, workers: int) -> None:
    """Once a call is with the endpoint it is in flight or recorded, however it ends, and never neither or both."""
    answer = asyncio.Event()
    whole: list[Step] = [answer, json_answer(CHAT.answer)]
    stream: list[Step] = [answer, sse_head(), *map(chunk, CHAT.events), LAST_CHUNK]
    endings: list[Script] = [whole, stream, [answer, Fault.RESET], [*stream[:3], Fault.RESET]] * 3
    async with (
        scripted_upstream(*endings) as upstream,
        running_proxy(
            upstream=upstream.url, ledger=tmp_path, auth="keys", workers=workers
        ) as proxy,
        asyncio.TaskGroup() as clients,
    ):
        cell = await proxy.open_cell(CELL, ttl_s=60)
        bearer = f"Authorization: {cell.headers['Authorization']}"

        async def known() -> tuple[int, int]:
            totals = await proxy.totals(CELL)
            return totals["calls"], totals["calls_in_flight"]

        calls = list[asyncio.Task[Any]]()
        for number in range(len(endings)):
            upstream.arrived.clear()
            body = CHAT.body(stream=number % 4 in (1, 3))
            calls.append(clients.create_task(post(cell.url, CHAT.path, body, bearer)))
            await upstream.arrived.wait()
            assert sum(await known()) == number + 1
        calls[0].cancel()  # a client that leaves
        answer.set()
        seen = [await known()]
        while seen[-1][1]:
            seen.append(await known())
        assert {sum(each) for each in seen} == {len(endings)}
