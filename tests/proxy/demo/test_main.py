import asyncio
import signal
import socket
import sys
from asyncio.subprocess import PIPE

import aiohttp
import pytest

from cab.proxy.demo.__main__ import main


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
async def test_it_serves_alone_until_it_is_stopped(stop: signal.Signals) -> None:
    """`python -m cab.proxy.demo` says where it listens, serves, and ends with 0 on a signal."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cab.proxy.demo", stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    url = line.removeprefix("demo model server on ").split(",")[0]
    async with aiohttp.ClientSession() as http, http.get(f"{url}/demo/account") as response:
        assert (await response.json())["calls"] == 0
    process.send_signal(stop)
    out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"", b"")


async def test_a_mode_is_given_on_the_command_line() -> None:
    """With `--fault-mode` the first model calls are refused, as many as it says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cab.proxy.demo", "--fault-mode", "server_error:1"), stdout=PIPE
    )
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    url = line.removeprefix("demo model server on ").split(",")[0]
    body = {"model": "m", "input": "hi"}
    statuses: list[int] = []
    async with aiohttp.ClientSession() as http:
        for _ in range(2):
            async with http.post(f"{url}/v1/responses", json=body) as response:
                statuses.append(response.status)
    process.send_signal(signal.SIGTERM)
    await process.communicate()
    assert (process.returncode, statuses) == (0, [500, 200])


def test_an_unknown_mode_ends_it_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown mode is one line on stderr that names the others, and exit code 2."""
    assert main(["--fault-mode", "merry"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "known fault modes: unauthorized, " in err


def test_a_port_in_use_ends_it_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    """A port that is taken is one line on stderr and exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["--port", str(taken.getsockname()[1])]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "the port is in use; give another --port" in err
