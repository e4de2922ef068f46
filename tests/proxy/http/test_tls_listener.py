"""Clients that speak TLS with the proxy: what differs from a bare socket, and what may not."""

import asyncio
import os
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from cab.proxy.config import parse_settings
from cab.proxy.errors import BadConfig
from cab.proxy.http.tls_certificate import listener_context
from cab.proxy.http.wire.tls import TlsConnection
from tests.tools.client import post
from tests.tools.living import the_only
from tests.tools.proxy import chat_body, metered
from tests.tools.raw import connected, raw_connected, request
from tests.tools.tls import certificate
from tests.tools.upstream import json_answer, scripted_upstream
from tests.tools.websockets import Peer, websocket_endpoint
from tests.tools.websockets import connected as websocket
from tests.tools.wires import DIRECT_TLS, TLS

WIRES = TLS
PATH = "/v1/chat/completions"
ADMIN = "admin-token-of-the-tests"
COMPLETION: dict[str, Any] = {
    "id": "1",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hey"}}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
}
CALL = request(PATH, orjson.dumps(chat_body()))
NOWHERE = "http://127.0.0.1:9"


async def test_one_connection_carries_requests_of_all_kinds(tmp_path: Path) -> None:
    """Ordinary ones, sent whole, in bytes and several at once, then one that aiohttp serves, and ordinary ones again."""
    async with (
        scripted_upstream([json_answer(COMPLETION)]) as upstream,
        metered(upstream.url, tmp_path) as meter,
        connected(meter.url) as line,
    ):
        assert meter.url.startswith("https://")
        line.send(CALL, CALL)
        for at in range(0, len(CALL), 7):
            line.send(CALL[at : at + 7])
        line.send(request("/v1/models", method="GET"), CALL)
        methods = ["POST", "POST", "POST", "GET", "POST"]
        answers = [await line.answer(method) for method in methods]
        ends = await meter.settled(5)
    assert [answer.status for answer in answers] == [200] * 5
    assert [end["total_tokens"] for end in ends] == [18, 18, 18, None, 18]


async def test_large_bodies_pass_both_ways(tmp_path: Path) -> None:
    """A request and an answer of many records, to a client that reads late."""
    text = "x" * (3 << 20)
    [choice] = COMPLETION["choices"]
    answer = COMPLETION | {
        "choices": [choice | {"message": {"role": "assistant", "content": text}}]
    }
    async with (
        scripted_upstream([json_answer(answer)]) as upstream,
        metered(upstream.url, tmp_path) as meter,
        connected(meter.url) as line,
    ):
        body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": text}]})
        line.send(request(PATH, body))
        await line.writer.drain()
        seen = await line.answer()
        await meter.settled(1)
    assert (seen.complete, seen.body) == (True, orjson.dumps(answer))
    assert upstream.received[0].body == body


async def test_a_websocket(tmp_path: Path) -> None:
    async def play(peer: Peer) -> None:
        await peer.frame()
        await peer.answer("r")
        await peer.until_closed()

    async with (
        websocket_endpoint(play) as endpoint,
        metered(endpoint.url, tmp_path) as meter,
        websocket(meter.client, meter.url) as client,
    ):
        await client.create(input="x")
        await client.response()
        await client.ws.close()
        [end] = await meter.settled(1)
    assert end["end_reason"] == "completed"


async def test_http_without_tls_is_told_so(tmp_path: Path) -> None:
    async with metered(NOWHERE, tmp_path) as meter, raw_connected(meter.url) as line:
        line.send(CALL)
        answer = await line.answer()
        assert await line.rest() == b""
    assert (answer.status, orjson.loads(answer.body)["error"]["code"]) == (400, "https_required")


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02"], ids=["silent", "partial"])
async def test_a_handshake_that_does_not_come_is_given_up(sent: bytes, tmp_path: Path) -> None:
    """It is within the limit of the head."""
    async with (
        metered(NOWHERE, tmp_path, head_timeout_s=0.05) as meter,
        raw_connected(meter.url) as line,
    ):
        line.send(sent)
        assert await line.rest() == b""


async def test_noise_in_the_place_of_a_handshake_or_of_a_record(tmp_path: Path) -> None:
    """It ends its own connection, and nothing else."""
    async with (
        scripted_upstream([json_answer(COMPLETION)]) as upstream,
        metered(upstream.url, tmp_path) as meter,
    ):
        async with raw_connected(meter.url) as line:
            line.send(b"\x16\x03\x01\x00\x05noise")
            await line.rest()
        async with connected(meter.url) as line:
            line.send(CALL)
            assert (await line.answer()).status == 200
            below = line.writer.transport.get_extra_info("socket")
            os.write(below.fileno(), b"\x17\x03\x03\x00\x05noise")
            assert await line.rest() == b""
        async with connected(meter.url) as line:
            line.send(CALL)
            assert (await line.answer()).status == 200
        await meter.settled(2)


async def test_a_connection_without_a_place_is_closed_before_its_handshake(tmp_path: Path) -> None:
    """A refusal would take a handshake, which costs the proxy more than the client."""
    go_on = asyncio.Event()
    async with (
        scripted_upstream([go_on, json_answer(COMPLETION)]) as upstream,
        metered(upstream.url, tmp_path, max_connections=1) as meter,
        connected(meter.url) as line,
    ):
        line.send(CALL)
        await upstream.arrived.wait()
        with pytest.raises((ConnectionError, ssl.SSLError)):
            async with connected(meter.url):
                pass
        go_on.set()
        assert (await line.answer()).status == 200
        await meter.settled(1)


async def test_what_is_behind_the_end_of_a_client_is_not_read(tmp_path: Path) -> None:
    """A client that ends its side with a part of a request has made no call."""
    async with metered(NOWHERE, tmp_path) as meter, connected(meter.url) as line:
        line.send(CALL[:-3])
        line.writer.write_eof()
        assert await line.rest() == b""
        await meter.settled(0)


async def test_what_comes_behind_the_end_of_a_client_is_not_kept(tmp_path: Path) -> None:
    """A client that has ended its side and waits for its answer can send what it likes."""
    go_on = asyncio.Event()
    async with (
        scripted_upstream([go_on, json_answer(COMPLETION)]) as upstream,
        metered(upstream.url, tmp_path) as meter,
        connected(meter.url) as line,
    ):
        line.send(CALL)
        line.writer.write_eof()
        await line.reader.readuntil(b"\r\n\r\n")
        kept = the_only(TlsConnection, lambda kept: kept._is_open)
        below = line.writer.transport.get_extra_info("socket").fileno()
        for _ in range(20):
            os.write(below, b"x" * 1000)
            await asyncio.sleep(0)
        assert kept._incoming.pending == 0
        go_on.set()
        assert (await line.answer()).complete
        await meter.settled(1)


async def test_the_control_api(tmp_path: Path) -> None:
    """Its own port speaks TLS too, its socket does not; a program trusts its own proxy by whatever name."""
    socket = tmp_path / "control.sock"
    apart: dict[str, Any] = {"control_port": 0, "control_socket": socket}
    async with metered(NOWHERE, tmp_path, admin_token=ADMIN, **apart) as meter:
        assert meter.proxy.control_url.startswith("https://")
        bearer = f"Authorization: Bearer {ADMIN}"
        answer = await post(meter.proxy.control_url, "/cab/cells", b"", bearer, method="GET")
        assert answer.status == 200
        connector = aiohttp.UnixConnector(str(socket))
        async with (
            aiohttp.ClientSession(connector=connector) as client,
            client.get("http://cab/cab/health") as health,
        ):
            assert health.status == 200
        await meter.proxy.open_cell("s/a/m/f/t", 60)
        assert (await meter.proxy.totals("s/a/m/f/t"))["calls"] == 0


@pytest.mark.asyncio(loop_factories=[DIRECT_TLS.name])
async def test_a_strange_certificate_is_not_trusted(tmp_path: Path) -> None:
    """What the proxy's own program trusts is that certificate alone."""
    async with metered(NOWHERE, tmp_path) as meter:
        context = meter.proxy._tls
        assert context is not None
        strange = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(strange)
        server = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0, ssl=strange)
        async with server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection("127.0.0.1", port, ssl=context)


def test_the_key_may_be_in_a_file_of_its_own(tmp_path: Path) -> None:
    own = trustme.CA().issue_cert("127.0.0.1")
    own.cert_chain_pems[0].write_to_path(str(tmp_path / "own.pem"))
    own.private_key_pem.write_to_path(str(tmp_path / "own.key"))
    context = listener_context(tmp_path / "own.pem", tmp_path / "own.key")
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("cert", "key", "message"),
    [
        ("none.pem", None, "tls_cert_file .*none.pem cannot be read: no such file"),
        ("own.pem", "none.key", "tls_key_file .*none.key cannot be read: no such file"),
        ("noise.pem", None, "tls_cert_file .*noise.pem cannot be used: "),
        (
            "own.pem",
            "other.key",
            "own.pem with tls_key_file .*other.key cannot be used: key values mismatch",
        ),
        ("own.pem", "locked.key", "cannot be used: the private key has a password"),
    ],
)
def test_files_that_cannot_be_used_are_named(
    cert: str, key: str | None, message: str, tmp_path: Path
) -> None:
    (tmp_path / "own.pem").write_bytes(certificate().read_bytes())
    (tmp_path / "noise.pem").write_text("noise")
    other = trustme.CA().issue_cert("127.0.0.1")
    other.private_key_pem.write_to_path(str(tmp_path / "other.key"))
    private = serialization.load_pem_private_key(other.private_key_pem.bytes(), None)
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    locked = private.private_bytes(pem, form, serialization.BestAvailableEncryption(b"secret"))
    (tmp_path / "locked.key").write_bytes(locked)
    with pytest.raises(BadConfig, match=message):
        listener_context(tmp_path / cert, tmp_path / key if key else None)


def test_a_key_needs_its_certificate() -> None:
    with pytest.raises(BadConfig, match="tls_key_file: tls_cert_file is not set; set that too"):
        parse_settings({"upstream": NOWHERE, "tls_key_file": "own.key"}, "x")
