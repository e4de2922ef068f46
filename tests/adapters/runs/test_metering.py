"""The proxy of a run: embedded with a real model server behind it, or given."""

import asyncio
import socket
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from cab.adapters.errors import AdapterError
from cab.adapters.runs.metering import Meter, check_reachable, embedded_meter, given_meter
from cab.proxy.app import running_proxy
from cab.proxy.auth.signing_keys import new_signing_key
from cab.proxy.config import ProxySettings
from cab.proxy.demo import running_demo
from cab.proxy.errors import BadConfig, ProxyRefused
from cab.scoring import iter_records
from tests.scoring.builders import summed
from tests.tools.servers import serving

CELL = "local/scripted/a/b/polyglot/python-error-handling#run2"
CHAT = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}


def free_port() -> int:
    """Return a port where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def keys_in(folder: Path) -> list[Path]:
    """Return the files that could hold a signing key."""
    return list(folder.rglob("*.key"))


async def chat(meter: Meter, key: str | None = None) -> int:
    """Make one model call and return its status."""
    headers = {"Authorization": f"Bearer {key or meter.key}"}
    async with aiohttp.ClientSession() as session:
        url = f"{meter.url}/v1/chat/completions"
        async with session.post(url, json=CHAT, headers=headers) as response:
            await response.read()
            return response.status


def embedded(ledger: Path) -> AbstractAsyncContextManager[Meter]:
    """Return an embedded proxy with the built-in model server behind it."""
    return embedded_meter(CELL, 60, upstream="demo", upstream_key="real", ledger=ledger)


def answering(status: int, body: bytes) -> AbstractAsyncContextManager[str]:
    """Run a server that gives one answer to everything."""

    async def handle(_: web.BaseRequest) -> web.Response:
        return web.Response(status=status, body=body)

    return serving(handle)


async def test_embedded(tmp_path: Path) -> None:
    """Calls with the cell's key are metered; the seal states just the lines that it gives."""
    async with embedded(tmp_path / "ledger") as meter:
        assert await chat(meter) == 200
        sealed = await meter.seal()
        assert await chat(meter) >= 400
        assert meter.demo is not None
        account = meter.demo.account()

    assert sealed.seal["cell_id"] == CELL
    assert sealed.seal["calls"] == account["calls"] == 1
    assert sealed.seal["prompt_tokens"] == account["prompt_tokens"]
    assert sealed.lines.count(b"\n") == sealed.seal["records"] == 2
    assert sealed.lines in (tmp_path / "ledger" / "w0-000001.jsonl").read_bytes()


async def test_only_the_cells_key(tmp_path: Path) -> None:
    """No other key is taken, not even the endpoint's own; no signing key is left behind."""
    async with embedded(tmp_path) as meter:
        assert await chat(meter, "real") == 401

    assert keys_in(tmp_path) == []


async def test_sealed_before(tmp_path: Path) -> None:
    """A cell whose calls are in the ledger already is not run again into the same ledger."""
    async with embedded(tmp_path) as meter:
        await chat(meter)
        await meter.seal()

    with pytest.raises(ProxyRefused, match=r"has calls of .*--run N"):
        async with embedded(tmp_path):
            pytest.fail("the block must not run")


async def test_sealed_twice(tmp_path: Path) -> None:
    """A second seal is refused."""
    async with embedded(tmp_path) as meter:
        await meter.seal()
        with pytest.raises(ProxyRefused, match="is sealed already"):
            await meter.seal()


async def test_no_call(tmp_path: Path) -> None:
    """A cell without calls has an empty slice and a seal that says 0; the ledger has its opening."""
    async with embedded(tmp_path) as meter:
        sealed = await meter.seal()

    assert (sealed.lines, sealed.seal["calls"]) == (b"", 0)
    cells = [each for each in iter_records(tmp_path, CELL) if each.kind != "start"]
    assert [each.kind for each in cells] == ["cell_open", "cell_seal"]
    assert summed(cells[:1]).calls == 0


async def test_unwritable_ledger(tmp_path: Path) -> None:
    """A ledger that cannot be written is named."""
    (tmp_path / "file").write_text("x")

    with pytest.raises(BadConfig, match="cannot be written"):
        async with embedded(tmp_path / "file"):
            pytest.fail("the block must not run")


async def test_given(tmp_path: Path) -> None:
    """A proxy that runs elsewhere takes the cell with a key that is signed for it."""
    signing = new_signing_key()
    settings = ProxySettings(upstream="demo", port=0, ledger=tmp_path / "ledger", auth="keys")
    async with running_proxy(settings, signing_key=signing) as proxy:
        meter = await given_meter(CELL, 60, url=f"{proxy.url}/v1/", signing_key=signing)
        assert await chat(meter) == 200
        sealed = await meter.seal()

    assert meter.demo is None
    assert sealed.seal["calls"] == 1


async def test_given_with_the_cells_keys(tmp_path: Path) -> None:
    """Keys that the proxy's owner made do as well: the signing key stays with the proxy."""
    settings = ProxySettings(upstream="demo", port=0, ledger=tmp_path / "ledger", auth="keys")
    async with running_proxy(settings) as proxy:
        keys = proxy.mint_keys(CELL, 60)
        meter = await given_meter(CELL, 60, url=proxy.url, signing_key=None, cell_keys=keys)
        assert await chat(meter) == 200
        sealed = await meter.seal()

    assert (meter.key, meter.seal_key) == keys
    assert sealed.seal["calls"] == 1


@pytest.mark.parametrize("by", ["control_port", "control_socket"])
async def test_given_with_a_control_address_of_its_own(tmp_path: Path, by: str) -> None:
    """The agent calls the proxy's URL, and the cell is sealed where the control API is."""
    signing = new_signing_key()
    where = {by: 0 if by == "control_port" else tmp_path / "control.sock"}
    values = {"upstream": "demo", "port": 0, "ledger": tmp_path / "ledger", "auth": "keys", **where}
    async with running_proxy(ProxySettings.model_validate(values), signing_key=signing) as proxy:
        given = partial(given_meter, CELL, 60, url=proxy.url, signing_key=signing)
        with pytest.raises(ProxyRefused, match=r"has an address of its own; give that address"):
            await given()
        meter = await given(control=proxy.control_url)
        assert await chat(meter) == 200
        sealed = await meter.seal()

    assert meter.url == proxy.url
    assert sealed.seal["calls"] == 1


async def test_given_with_another_signing_key(tmp_path: Path) -> None:
    """A key that another secret signed is refused before the agent starts."""
    settings = ProxySettings(upstream="demo", port=0, ledger=tmp_path / "ledger", auth="keys")
    async with running_proxy(settings, signing_key=new_signing_key()) as proxy:
        with pytest.raises(ProxyRefused, match="was not made for this proxy"):
            await given_meter(CELL, 60, url=proxy.url, signing_key=new_signing_key())


@pytest.mark.parametrize(
    ("signing_key", "error", "said"),
    [
        (None, AdapterError, "CAB_SIGNING_KEY is not set"),
        ("short", BadConfig, "CAB_SIGNING_KEY holds a key of fewer than 32 bytes"),
    ],
)
async def test_no_signing_key(
    tmp_path: Path, signing_key: str | None, error: type[Exception], said: str
) -> None:
    """A given proxy needs the secret that it checks keys with."""
    async with running_proxy(
        ProxySettings(upstream="demo", port=0, ledger=tmp_path / "ledger")
    ) as proxy:
        with pytest.raises(error, match=said):
            await given_meter(CELL, 60, url=proxy.url, signing_key=signing_key)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"<html>hello</html>", "is not a cab-proxy"),
        (200, b"[]", "is not a cab-proxy"),
        (503, b'{"ready": false, "ledger_failure": "disk full"}', "disk full"),
        (200, b'{"ready": true}\n', "is not a cab-proxy"),
    ],
)
async def test_given_is_no_proxy(status: int, body: bytes, said: str) -> None:
    """What answers at a given URL must be a proxy that is ready."""
    async with answering(status, body) as url:
        with pytest.raises(ProxyRefused, match=said) as caught:
            await given_meter(CELL, 60, url=url, signing_key=new_signing_key())

    assert caught.value.address == url


async def test_given_nothing_there() -> None:
    """A given URL where nothing listens is named."""
    url = f"http://127.0.0.1:{free_port()}"

    with pytest.raises(ProxyRefused, match="cannot be reached"):
        await given_meter(CELL, 60, url=url, signing_key=new_signing_key())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"code": "calls_in_flight", "message": "2 calls are in flight"}}', "2 calls"),
        (b'{"error": {"code": "other", "message": "no"}}', r"no \(status 503\)"),
        (b"nonsense", "is not a cab-proxy"),
    ],
)
async def test_seal_refused(body: bytes, said: str) -> None:
    """A seal that is refused, or never comes about, says why."""
    async with answering(503, body) as url:
        with pytest.raises(ProxyRefused, match=said):
            await Meter(url, url, CELL, "key", "seal").seal()


async def test_seal_and_lines_disagree() -> None:
    """Lines that are not those that the seal states are not taken."""
    async with answering(200, b'{"cell_id": "c", "digest": "sha256:0"}\n') as url:
        with pytest.raises(ProxyRefused, match="are not what its seal states"):
            await Meter(url, url, CELL, "key", "seal").seal()


async def test_proxy_gone() -> None:
    """A proxy that has gone meanwhile is named."""
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ProxyRefused, match=f"proxy {url}: cannot be reached"):
        await Meter(url, url, CELL, "key", "seal").seal()


async def test_reachable() -> None:
    """An endpoint that listens, and the built-in one, can be reached."""
    async with running_demo() as demo:
        await check_reachable(f"{demo.url}/v1")
    await check_reachable("demo")


@pytest.mark.parametrize(
    ("url", "error", "said"),
    [
        ("http://127.0.0.1:{port}", AdapterError, "Connection refused"),
        ("http://no-such-host.invalid", AdapterError, "cannot be reached"),
        ("http://a..b/v1", AdapterError, "its host is not a valid name"),
        ("ftp://127.0.0.1", BadConfig, "not an http"),
        ("", BadConfig, "not an http"),
    ],
)
async def test_unreachable(url: str, error: type[Exception], said: str) -> None:
    """An endpoint that cannot be reached, or is no URL, is named with the mend."""
    with pytest.raises(error, match=said) as caught:
        await check_reachable(url.format(port=free_port()))

    assert "\n" not in str(caught.value)


async def test_cancelled_while_running(tmp_path: Path) -> None:
    """Cancelling the block stops the proxy and frees the ledger."""
    entered = asyncio.Event()

    async def hold() -> None:
        async with embedded(tmp_path):
            entered.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(hold())
        await entered.wait()
        task.cancel()

    async with embedded(tmp_path) as meter:
        assert await chat(meter) == 200
