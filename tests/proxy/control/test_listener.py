import contextlib
import socket
import stat
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cab.proxy.config import parse_settings
from cab.proxy.errors import BadConfig
from tests.tools.client import post
from tests.tools.proxy import metered

ADMIN = "admin-token-of-the-tests"
NOWHERE = "http://127.0.0.1:9"


async def test_the_control_api_has_a_port_of_its_own(tmp_path: Path) -> None:
    """Then the agents' port answers health only, and the other one all of it.

    Without an endpoint that can be reached the proxy is not ready.
    """
    bearer = f"Authorization: Bearer {ADMIN}"
    async with metered(NOWHERE, tmp_path, admin_token=ADMIN, control_port=0) as meter:
        agents, control = meter.url, meter.proxy.control_url
        assert agents != control
        statuses = {
            (url, path): (await post(url, path, b"", bearer, method="GET")).status
            for url in (agents, control)
            for path in ("/cab/health", "/cab/health/ready", "/cab/cells", "/cab/openapi.json")
        }
        assert (await post(control, "/v1/chat/completions", {})).status == 404
        assert meter.starts() == []
    assert [statuses[agents, path] for path in ("/cab/health", "/cab/health/ready")] == [200, 503]
    assert [statuses[agents, path] for path in ("/cab/cells", "/cab/openapi.json")] == [404, 404]
    assert [status for (url, _), status in statuses.items() if url == control] == [
        200,
        503,
        200,
        200,
    ]


async def get(path: Path, target: str) -> int:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as client,
        client.get(f"http://cab{target}") as answer,
    ):
        return answer.status


async def test_the_control_api_has_a_socket_of_its_own(tmp_path: Path) -> None:
    """Only this user can connect to the socket; it is gone when the proxy is."""
    path = tmp_path / "control.sock"
    async with metered(NOWHERE, tmp_path, control_socket=path) as meter:
        assert meter.proxy.control_url == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await get(path, "/cab/health") == 200
        assert await get(path, "/cab/cells") == 403
        assert (await post(meter.url, "/cab/cells", b"", method="GET")).status == 404
    assert not path.exists()


async def test_a_port_and_a_socket_go_together(tmp_path: Path) -> None:
    """Where both are set both answer, and the URL is the port's."""
    path = tmp_path / "control.sock"
    async with metered(NOWHERE, tmp_path, control_socket=path, control_port=0) as meter:
        assert (await post(meter.proxy.control_url, "/cab/health", b"", method="GET")).status == 200
        assert await get(path, "/cab/health") == 200


async def test_a_socket_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    """A proxy that was killed leaves its socket; the next one takes the path."""
    path = tmp_path / "control.sock"
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(path))
    async with metered(NOWHERE, tmp_path, control_socket=path):
        assert await get(path, "/cab/health") == 200


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"control_socket": "{folder}/taken"}, "taken: address already in use"),
        ({"control_socket": "{folder}/file"}, "file: file exists"),
        ({"control_socket": "{folder}/none/socket"}, "no such file"),
        ({"control_socket": "{folder}/" + "x" * 120}, "too long"),
        (
            {"control_port": "{port}"},
            "port .*: address already in use; give another with control_port",
        ),
    ],
)
async def test_an_address_that_cannot_be_had_is_named(
    tmp_path: Path, settings: dict[str, str], said: str
) -> None:
    """An address that is taken, or is none, stops the start with one line."""
    (tmp_path / "file").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket(socket.AF_UNIX) as lives:
        lives.bind(str(tmp_path / "taken"))
        lives.listen()
        names: dict[str, Any] = {"folder": tmp_path, "port": taken.getsockname()[1]}
        values: dict[str, Any] = {name: value.format(**names) for name, value in settings.items()}
        with pytest.raises(BadConfig, match=f"the control API cannot listen on .*{said}"):
            async with metered(NOWHERE, tmp_path, **values):
                pytest.fail("it must not start")
    assert (tmp_path / "file").is_file()


def test_a_host_needs_its_port() -> None:
    """control_host alone would listen nowhere, so it is an error."""
    with pytest.raises(BadConfig, match="control_host: control_port is not set"):
        parse_settings({"upstream": "demo", "control_host": "::1"}, "file")
