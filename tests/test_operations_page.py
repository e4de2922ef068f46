"""The commands of docs/operations.md run, and nginx as it is set there passes streams on at once."""

import asyncio
import contextlib
import io
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cab.adapters.cli import main
from tests.tools.ports import free_port
from tests.tools.proxy import chat_body, metered
from tests.tools.upstream import Step, chunk, event, scripted_upstream, sse_head

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "operations.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
CONFIG = DOCS / "operations" / "nginx.conf"
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin"
NGINX = shutil.which("nginx", path=PATH)


def run(line: str, folder: Path) -> str:
    """Run one line of the page in a folder; `cab` here, as its start takes longest, all else by a shell."""
    if not line.startswith("cab "):
        environment = {name: t for name, t in os.environ.items() if not name.startswith("CAB_")}
        ran = subprocess.run(
            ("bash", "-euo", "pipefail", "-c", line),
            cwd=folder,
            env={**environment, "PATH": PATH},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{line}: {ran.stderr}"
        return ran.stdout
    command, _, fallback = line.partition(" || test $? = ")
    command, _, target = command.partition(" > ")
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(printed), contextlib.chdir(folder):
        code = main(shlex.split(command)[1:])
    printed.seek(0)
    text = printed.read()
    assert code in {0, int(fallback or 0)}, f"{line}: {text}"
    if target:
        (folder / target).write_text(text)
    return text


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")
async def test_the_commands_run(tmp_path: Path) -> None:
    """Each line does what it is there for, in the page's order, beside a proxy that signs."""
    shutil.copy(CONFIG, tmp_path)
    first, *rest = BLOCKS
    lines = [line for block in rest for line in block.splitlines() if NGINX or "nginx" not in line]
    for line in first.splitlines():
        await asyncio.to_thread(run, line, tmp_path)
    settings: dict[str, Any] = {
        "seal_key_file": tmp_path / "seal.pem",
        "ledger": tmp_path / "cab-ledger",
    }
    async with metered("demo", tmp_path, segment_max_bytes=4096, **settings) as meter:
        for _ in range(5):
            await meter.chat(**chat_body())
        port = meter.url.split(":")[2].split("/")[0]
        printed = [
            await asyncio.to_thread(run, line.replace("31415", port), tmp_path) for line in lines
        ]
    assert sum("holds" in text for text in printed) == 3
    assert (tmp_path / "heads.json").stat().st_size


def bench(row: str, column: str) -> float:
    """Return a figure of a table that `make bench` wrote."""
    tables = (DOCS / "performance.md").read_text().split("<!-- speed: begin -->")[1]
    header: list[str] = []
    for line in tables.split("<!-- speed: end -->")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if column in cells:
            header = cells
        elif header and cells[0] == row:
            return float(cells[header.index(column)].replace(",", ""))
    raise AssertionError(f"{row}, {column} is not in docs/performance.md; run make bench")


def rounded_down(number: float) -> float:
    """Return a number with its first two digits."""
    power = 10.0 ** (math.floor(math.log10(number)) - 1)
    return math.floor(number / power + 1e-9) * power


def test_the_capacity_follows_from_the_bench() -> None:
    """Each figure per core is a million microseconds by those of a call or an event, two digits of it."""
    event = bench("cab", "event, µs")
    expected = {
        "calls a second, 0.7 KB, no keys": (1e6, bench("cab", "0.7 KB, µs")),
        "the same with keys, limits and log lines": (1e6, bench("cab, keys", "with ids, µs")),
        "calls a second, 40 KB": (1e6, bench("cab", "40 KB, µs")),
        "events of streams a second": (1e6, event),
        "streams of 50 events a second at once": (1e6 / 50, event),
    }
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.split("## Capacity")[1].splitlines()
    ]
    said = {row[0]: row[1] for row in rows if len(row) == 3}
    for what, (in_all, each) in expected.items():
        assert float(said[what].replace(",", "")) == rounded_down(in_all / each), what
    assert float(said["memory per idle stream, KB"]) == bench("cab", "KB per idle stream")
    told = {row[0]: row[2].partition(" µs")[0] for row in rows if len(row) == 3 and " µs" in row[2]}
    assert {float(text) for text in told.values()} == {each for _, each in expected.values()}


@pytest.mark.skipif(NGINX is None, reason="no nginx")
async def test_nginx_passes_each_event_on_at_once(tmp_path: Path) -> None:
    """The endpoint sends its second event only when the client behind nginx has the first."""
    assert NGINX
    seen, port = asyncio.Event(), free_port()
    stream: list[Step] = [
        sse_head(),
        chunk(event({"n": 1})),
        seen,
        chunk(event({"n": 2})),
        chunk(b""),
    ]
    async with (
        scripted_upstream(stream) as upstream,
        metered(upstream.url, tmp_path) as meter,
        aiohttp.ClientSession() as client,
    ):
        proxy_port = meter.url.split(":")[2].split("/")[0]
        text = CONFIG.read_text().replace("31415", proxy_port).replace("8080", str(port))
        (tmp_path / "nginx.conf").write_text(text)
        process = await asyncio.create_subprocess_exec(
            *(NGINX, "-p", str(tmp_path), "-c", "nginx.conf"), stderr=subprocess.PIPE
        )
        try:
            url = f"http://127.0.0.1:{port}"
            await _is_up(client, f"{url}/cab/health")
            body = chat_body(stream=True)
            async with client.post(f"{url}/v1/chat/completions", json=body) as answer:
                assert b'"n":1' in await answer.content.readuntil(b"\n\n")
                seen.set()
                assert b'"n":2' in await answer.content.readuntil(b"\n\n")
            async with client.get(f"{url}/cab/cells") as answer:
                assert answer.status == 404
        finally:
            process.terminate()
            await process.communicate()


async def _is_up(client: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                async with client.get(url) as answer:
                    assert answer.status == 200
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.01)  # nothing tells when nginx listens
