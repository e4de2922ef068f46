"""Every call once: after the database, the shipper or the proxy was killed in the middle, or a disk was full."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import orjson
import pytest

from cab.proxy.ledger.shipping.status_file import FILE_NAME
from cab.scoring.ledger.segments import find_segments, segment_lines
from tests.postgres.test_sink import pack, put
from tests.tools.postgres import PASSWORD, PostgresServer, running_postgres
from tests.tools.proxy import chat_body
from tests.tools.shipped import Database, assert_same, calls, chained, ship

pytestmark = pytest.mark.postgres

_CAB = "import sys; from cab.adapters.cli import main; sys.exit(main())"
_PROXY = "import sys; from cab.proxy.cli.main import main; sys.exit(main())"


@pytest.fixture(scope="module")
def own() -> Iterator[PostgresServer]:
    """Run a server that may be killed."""
    with running_postgres() as server:
        yield server


def wait_until(holds: Callable[[], bool], limit_s: float = 60) -> None:
    end_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end_s, "it did not come about"
        time.sleep(0.05)  # nothing tells when another process has got there


def count(database: Database) -> int:
    there = database.rows("select to_regclass('cab.lines')")[0][0]
    return int(database.rows("select count(*) from cab.lines")[0][0]) if there else 0


def environment(**others: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CAB_", "PG"))}
    return {**kept, "PGPASSWORD": PASSWORD, **others}


@contextmanager
def shipping(ledger: Path, database: Database) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `cab ledger ship` until the end of the block."""
    words = ("ledger", "ship", str(ledger), "--to", database.url)
    process = subprocess.Popen(
        [sys.executable, "-c", _CAB, *words], env=environment(), stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def test_postgres_is_killed(tmp_path: Path, own: PostgresServer) -> None:
    """What comes while the database is dead waits, and is there soon after it is back; no line is there twice."""
    database, (lines, _) = Database(own, own.new_database()), chained(calls(0, 3000))
    ledger = tmp_path / "ledger"
    put(ledger, "w0-000001.jsonl", *lines[:4000])
    with shipping(ledger, database) as process:
        wait_until(lambda: count(database) > 0)
        own.kill()
        put(ledger, "w0-000001.jsonl", *lines[4000:5000])
        put(ledger, "w0-000002.jsonl", *lines[5000:])
        own.start()
        wait_until(lambda: count(database) == len(lines))
        process.terminate()
        assert process.wait(30) == 0
    assert_same(ledger, database)


def test_a_long_outage(tmp_path: Path, own: PostgresServer) -> None:
    """What many segments gathered, most of them packed meanwhile, is all there once the database is back."""
    database, (lines, _) = Database(own, own.new_database()), chained(calls(0, 10_000))
    ledger, each = tmp_path / "ledger", 1_000
    put(ledger, "w0-000001.jsonl", *lines[:each])
    with shipping(ledger, database):
        wait_until(lambda: count(database) == each)
        own.kill()
        for number, first in enumerate(range(each, len(lines), each), 2):
            pack(ledger / f"w0-{number - 1:06}.jsonl")
            put(ledger, f"w0-{number:06}.jsonl", *lines[first : first + each])
        own.start()
        wait_until(lambda: count(database) == len(lines), 200)
    assert_same(ledger, database)


def test_the_shipper_is_killed(tmp_path: Path, database: Database) -> None:
    """The next one goes on where it was, and sends nothing twice that is there."""
    lines, _ = chained(calls(0, 6000))
    ledger = tmp_path / "ledger"
    put(ledger, "w0-000001.jsonl", *lines)
    with shipping(ledger, database) as process:
        wait_until(lambda: count(database) > 0)
        process.kill()
    there = count(database)
    assert ship(ledger, database).lines == len(lines) - there
    assert_same(ledger, database)
    assert count(database) == len(lines)


def test_the_disk_is_full(tmp_path: Path, own: PostgresServer) -> None:
    """A database whose disk is full takes nothing; when there is room, all comes, each line once."""
    if os.getuid() != 0:
        pytest.skip("only root may make a disk of its own")
    small = own.folder / "small"
    small.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=14m,mode=0777", "tmpfs", str(small)]
    subprocess.run(mounted, check=True)
    try:
        # PostgreSQL refuses a tablespace that is not its own.
        os.chown(small, 65534, 65534)
        admin = Database(own, "postgres")
        admin.do(f"create tablespace small location '{small}'")
        database = Database(own, "smalldb")
        admin.do("create database smalldb owner shipper tablespace small")
        lines, _ = chained(calls(0, 4000))
        ledger = tmp_path / "ledger"
        put(ledger, "w0-000001.jsonl", *lines)
        with shipping(ledger, database):
            wait_until(lambda: b"No space left on device" in (own.folder / "log").read_bytes())
            assert 0 <= count(database) < len(lines)
            subprocess.run(["mount", "-o", "remount,size=200m", str(small)], check=True)
            wait_until(lambda: count(database) == len(lines))
        assert_same(ledger, database)
        admin.do("drop database smalldb with (force)", "drop tablespace small")
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


class _Proxy:
    """A `cab-proxy` with a shipper beside it."""

    def __init__(self, folder: Path, database: Database, *flags: str) -> None:
        ledger = ("--ledger", str(folder / "ledger"), "--ship-to", database.url)
        words = ("--upstream", "demo", "--port", "0", *ledger, "--log-level", "error", *flags)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROXY, *words], env=environment(), stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        first = self.process.stdout.readline().decode()
        self.url = first.split()[-1]

    def kill(self) -> None:
        """Kill it as `kill -9` does."""
        self.process.kill()
        self.end()

    def end(self, code: int | None = None) -> None:
        """Wait until it has ended."""
        found = self.process.wait(40)
        assert self.process.stdout is not None
        self.process.stdout.close()
        assert code is None or found == code

    def shipper(self) -> int:
        """Return the id of the process beside it."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found: list[int] = []

        def there() -> bool:
            found[:] = [p for p in map(int, path.read_text().split()) if b"shipping" in _words(p)]
            return bool(found)

        wait_until(there)
        return found[0]

    def chat(self, number: int) -> None:
        """Make some calls."""
        asyncio.run(_chat(self.url, number))

    def health(self) -> dict[str, object]:
        """Return what the proxy says of shipping."""
        return asyncio.run(_health(self.url))


def _words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


async def _chat(url: str, number: int) -> None:
    async with aiohttp.ClientSession() as client:
        for _ in range(number):
            async with client.post(f"{url}/v1/chat/completions", json=chat_body()) as answer:
                await answer.read()
                assert answer.status == 200


async def _health(url: str) -> dict[str, object]:
    async with aiohttp.ClientSession() as client, client.get(f"{url}/cab/health") as answer:
        return dict((await answer.json())["shipping"] or {})


def call_ids(ledger: Path) -> list[str]:
    lines = (line for each in find_segments(ledger) for line in segment_lines(each.path))
    return sorted(r["call_id"] for r in map(orjson.loads, lines) if r["kind"] == "end")


def assert_every_call_once(ledger: Path, database: Database, calls_made: int) -> None:
    in_table = database.rows("select call_id from cab.lines where kind = 'end' order by 1")
    assert [row[0] for row in in_table] == call_ids(ledger)
    assert len(in_table) == calls_made
    assert_same(ledger, database)


@pytest.mark.parametrize("flags", [(), ("--workers", "2")])
def test_the_proxy_is_killed(tmp_path: Path, database: Database, flags: tuple[str, ...]) -> None:
    """What a killed proxy had written is sent; the next one goes on, and its last lines come at its stop."""
    ledger = tmp_path / "ledger"
    proxy = _Proxy(tmp_path, database, *flags)
    beside = proxy.shipper()
    assert PASSWORD.encode() not in _words(beside)
    assert PASSWORD.encode() not in Path(f"/proc/{beside}/environ").read_bytes()
    proxy.chat(5)
    proxy.kill()
    wait_until(lambda: b"shipping" not in _words(beside))
    proxy = _Proxy(tmp_path, database, *flags)
    try:
        proxy.chat(3)
        os.kill(proxy.shipper(), signal.SIGKILL)
        proxy.chat(2)
        wait_until(lambda: proxy.health().get("behind_bytes") == 0)
        assert proxy.health()["failure"] is None
        proxy.chat(1)
    finally:
        proxy.process.terminate()
        proxy.end(0)
    assert_every_call_once(ledger, database, 11)


def test_an_outage_touches_no_call(tmp_path: Path, own: PostgresServer) -> None:
    """While the database is dead calls are answered, and the proxy says why nothing is sent."""
    database = Database(own, own.new_database())
    proxy = _Proxy(tmp_path, database)
    try:
        proxy.chat(2)
        wait_until(lambda: proxy.health().get("behind_bytes") == 0)
        own.kill()
        proxy.chat(4)
        wait_until(lambda: proxy.health().get("failure") is not None)
        assert proxy.health()["behind_bytes"] is None
        own.start()
        wait_until(lambda: proxy.health().get("failure") is None)
    finally:
        proxy.process.terminate()
        proxy.end(0)
    assert (tmp_path / "ledger" / FILE_NAME).exists()
    assert_every_call_once(tmp_path / "ledger", database, 6)


def test_a_start_that_fails_is_one_line(tmp_path: Path, database: Database) -> None:
    """With a shipper beside it too: a port that is taken, and a URL that no proxy starts with."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = str(held.getsockname()[1])
        for url, text in (
            (database.url, f"cannot listen on 127.0.0.1 port {port}"),
            ("postgresql://u:hunter2@h/d", "holds a password"),
        ):
            words = ("--upstream", "demo", "--port", port, "--ledger", str(tmp_path / "l"))
            done = subprocess.run(
                [sys.executable, "-c", _PROXY, *words, "--ship-to", url, "--log-level", "error"],
                env=environment(),
                capture_output=True,
                check=False,
            )
            assert done.returncode == 2
            assert text in done.stderr.decode()
            assert done.stderr.count(b"\n") == 1
            assert b"hunter2" not in done.stderr
