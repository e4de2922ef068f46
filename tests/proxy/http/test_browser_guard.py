"""Who may call a proxy that asks nobody for a key: programs of this machine, and no web page."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.tools.client import post
from tests.tools.proxy import chat_body, metered
from tests.tools.raw import exchange
from tests.tools.upstream import json_answer, scripted_upstream

CELL = "s/aider/m/f/t"
CHAT = "/v1/chat/completions"
BODY = orjson.dumps(chat_body())
ANSWER = json_answer(
    {"model": "m", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
)


def request(host: str | None, *headers: str, target: str = CHAT) -> bytes:
    lines = [
        f"POST {target} HTTP/1.{0 if host is None else 1}",
        f"Content-Length: {len(BODY)}",
        *headers,
    ]
    if host is not None:
        lines.insert(1, f"Host: {host}")
    return "\r\n".join([*lines, "", ""]).encode() + BODY


async def status_of(folder: Path, raw: bytes, **settings: Any) -> tuple[int, str]:
    """Return the status of one request and its code, and check that a refused one went nowhere."""
    async with (
        scripted_upstream([ANSWER]) as endpoint,
        metered(endpoint.url, folder, **settings) as meter,
    ):
        seen = await exchange(meter.url, raw)
        await meter.settled(len(endpoint.received))
        assert len(endpoint.received) == (seen.status == 200)
    return seen.status, "" if seen.status == 200 else orjson.loads(seen.body)["error"]["message"]


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST:31415", "localhost.:80", "agent.localhost:1"),
        *("127.0.0.1", "127.8.9.1:99", "[::1]:31415", "[::ffff:127.0.0.1]"),
        *("host.docker.internal:31415", "proxy:31415", "Box.Example."),
    ],
)
async def test_known_names_pass(host: str, tmp_path: Path) -> None:
    """Names of loopback with any port, the one of containers, and those of the setting."""
    allowed = ["PROXY", "box.example"]
    assert await status_of(tmp_path, request(host), allowed_hosts=allowed) == (200, "")


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:31415", "localhost.evil.example", "127.0.0.1.evil.example"),
        *("evil-localhost", "192.168.0.7:31415", "0.0.0.0:31415", "[::]", "[fe80::1]", "", None),
    ],
)
async def test_other_names_are_refused(host: str | None, tmp_path: Path) -> None:
    """A page whose name was made to mean this machine gets a 403 that names the setting."""
    status, message = await status_of(tmp_path, request(host))
    assert status == 403
    assert "`allowed_hosts`" in message


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:3000"])
async def test_a_web_page_is_refused_unless_it_is_named(origin: str, tmp_path: Path) -> None:
    """An Origin must be in the setting; what Node sends besides says nothing."""
    raw = request(
        "localhost", f"Origin: {origin}", "Sec-Fetch-Mode: cors", "Content-Type: text/plain"
    )
    status, message = await status_of(tmp_path / "a", raw)
    assert status == 403
    assert "`allowed_origins`" in message
    allowed = [origin.upper() if origin != "null" else origin]
    assert await status_of(tmp_path / "b", raw, allowed_origins=allowed) == (200, "")
    both = request("localhost", f"Origin: {origin}", "Origin: https://other.example")
    assert (await status_of(tmp_path / "c", both, allowed_origins=allowed))[0] in {400, 403}


async def test_node_passes(tmp_path: Path) -> None:
    """Sec-Fetch headers without an Origin are a program's."""
    raw = request("127.0.0.1:1", "Sec-Fetch-Mode: cors", "Sec-Fetch-Site: cross-site")
    assert await status_of(tmp_path, raw) == (200, "")


async def test_without_a_held_key_everybody_passes(tmp_path: Path) -> None:
    """There is nothing to spend but the caller's own."""
    raw = request("evil.example", "Origin: https://evil.example")
    assert await status_of(tmp_path, raw, key=None) == (200, "")


@pytest.mark.parametrize("auth", ["open", "keys"])
async def test_a_cells_key_is_enough(auth: str, tmp_path: Path) -> None:
    """No page has one: containers that hold a key may call the proxy by any name."""
    async with (
        scripted_upstream([ANSWER]) as endpoint,
        metered(endpoint.url, tmp_path, auth=auth) as meter,
    ):
        key = meter.proxy.mint_key(CELL, 60)
        seen = await exchange(meter.url, request("proxy:31415", f"Authorization: Bearer {key}"))
        in_path = request("proxy", "Origin: http://x", target=f"/cell/{key}{CHAT}")
        assert (seen.status, (await exchange(meter.url, in_path)).status) == (200, 200)


@pytest.mark.parametrize("key", ["sk-held", None])
async def test_a_page_cannot_seal_the_cell_of_the_proxy(key: str | None, tmp_path: Path) -> None:
    """Where a caller without a key is the cell, the control API takes programs only."""
    async with (
        scripted_upstream([ANSWER]) as endpoint,
        metered(endpoint.url, tmp_path, key=key, cell=CELL) as meter,
    ):
        await post(meter.url, CHAT, chat_body())
        target = f"/cab/cells/{CELL.replace('/', '%2F')}/seal"
        by_name = await exchange(meter.url, request("evil.example", target=target))
        by_origin = await exchange(
            meter.url, request("localhost", "Origin: http://x", target=target)
        )
        health = await post(meter.url, "/cab/health", b"", "Host: x", method="GET")
        seal_key = f"Authorization: Bearer {meter.proxy.mint_keys(CELL, 60).seal}"
        program = await exchange(meter.url, request("localhost", seal_key, target=target))
    assert (by_name.status, by_origin.status, program.status) == (403, 403, 200)
    assert health.status in {200, 400}
