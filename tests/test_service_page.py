"""The commands of docs/operations/service.md run, and so does the unit, as far as that needs no running systemd."""

import asyncio
import configparser
import getpass
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.tools.ports import free_port
from tests.tools.upstream import json_answer, scripted_upstream

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "operations"
BLOCKS = re.findall(r"^```sh\n# run\n(.*?)^```$", (FOLDER / "service.md").read_text(), re.M | re.S)
BIN = Path(sys.executable).parent
PATH = f"{BIN}:{os.environ['PATH']}"
ACTIVATE, ANALYZE = shutil.which("systemd-socket-activate"), shutil.which("systemd-analyze")
CLEAN = {name: text for name, text in os.environ.items() if not name.startswith("CAB_")}


def moved(text: str, folder: Path, upstream: str, port: int) -> str:
    """Return commands or a unit with the folders of a test, an endpoint and a port."""
    changes = {
        "/opt/cab/bin": str(BIN),
        "/etc/": f"{folder}/etc/",
        "/var/lib/": f"{folder}/",
        "-o cab-proxy": f"-o {getpass.getuser()}",
        "User=cab-proxy": f"User={getpass.getuser()}",
        "https://your-endpoint/v1": upstream,
        "31415": str(port),
    }
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


def run(block: str, folder: Path) -> str:
    """Run lines of the page in a checkout that has the endpoint's key."""
    if ANALYZE is None:
        block = "\n".join(line for line in block.splitlines() if "systemd-analyze" not in line)
    ran = subprocess.run(
        ("bash", "-euo", "pipefail", "-c", block),
        cwd=folder,
        env={**CLEAN, "PATH": PATH},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"{block}\n{ran.stdout}{ran.stderr}"
    return ran.stdout + ran.stderr


def words_of(unit: Path, name: str) -> list[str]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit)
    return shlex.split(parser["Service"][name])


@pytest.mark.skipif(ACTIVATE is None, reason="no systemd-socket-activate: Debian's package systemd")
async def test_the_page_sets_up_a_service_that_serves(tmp_path: Path) -> None:
    """Its commands make the files; the unit's command starts with the first connection, reloads and stops."""
    folder, port = tmp_path / "checkout", free_port()
    (tmp_path / "etc" / "systemd" / "system").mkdir(parents=True)
    (tmp_path / "cab-proxy").mkdir()
    (folder / "docs").mkdir(parents=True)
    (folder / "endpoint.key").write_text("key-of-the-endpoint\n")
    async with scripted_upstream([json_answer({"object": "list", "data": []})]) as upstream:
        shutil.copytree(FOLDER, folder / "docs" / "operations")
        for unit in (folder / "docs" / "operations").glob("cab-proxy.*"):
            unit.write_text(moved(unit.read_text(), tmp_path, upstream.url, port))
        set_up, check, health = (moved(each, tmp_path, upstream.url, port) for each in BLOCKS)
        await asyncio.to_thread(run, set_up, folder)
        assert (tmp_path / "etc/cab-proxy/environment").stat().st_mode & 0o777 == 0o600
        printed = await asyncio.to_thread(run, check, folder)
        assert "key-of-the-endpoint" not in printed
        assert upstream.received[-1].header("Authorization") == "Bearer key-of-the-endpoint"
        unit = tmp_path / "etc/systemd/system/cab-proxy.service"
        variables = (tmp_path / "etc/cab-proxy/environment").read_text().strip().split("=", 1)
        options = (f"--listen=127.0.0.1:{port}", f"--setenv={variables[0]}")
        command = [*options, *words_of(unit, "ExecStart")]
        serving = await asyncio.create_subprocess_exec(
            str(ACTIVATE),
            *command,
            cwd=tmp_path,
            env={**CLEAN, "PATH": PATH, variables[0]: variables[1]},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            await _listens(port)
            answers = (await asyncio.to_thread(run, health, folder)).replace("}{", "}\n{")
            live, ready, both = map(json.loads, answers.splitlines())
            assert (live["live"], ready["ready"], both["live"], both["ready"]) == (True,) * 4
            assert ready["endpoints"] == {"reachable": 1, "unreachable": 0}
            assert words_of(unit, "ExecReload") == ["/bin/kill", "-HUP", "$MAINPID"]
            serving.send_signal(signal.SIGHUP)
            cells = urllib.request.Request(f"http://127.0.0.1:{port}/cab/cells")
            cells.add_header("Authorization", f"Bearer {variables[1]}")
            with await asyncio.to_thread(urllib.request.urlopen, cells, timeout=60) as answer:
                assert json.load(answer)["cells"] == []
            serving.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(serving.wait(), 60) == 0
        finally:
            if serving.returncode is None:
                serving.kill()
                await serving.wait()
    assert list((tmp_path / "cab-proxy" / "ledger").glob("w0-*"))


async def _listens(port: int) -> None:
    """Wait until somebody listens; systemd-socket-activate starts the program with the first connection."""
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)  # nothing tells when it listens
            else:
                writer.close()
                return
