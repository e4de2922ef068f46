"""A database that takes a connection and then says nothing."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from cab.proxy.ledger.shipping.postgres.bundles import send_bundles
from cab.proxy.ledger.shipping.postgres.connection import connect, step
from cab.proxy.ledger.shipping.postgres.reading import fetched_ledger
from cab.proxy.ledger.shipping.postgres.url import database_of
from cab.proxy.ledger.shipping.sink import SinkFailed
from tests.postgres.test_sink import put
from tests.tools.ports import port_without_listener
from tests.tools.postgres import PASSWORD
from tests.tools.shipped import Database, calls, chained, ship

pytestmark = pytest.mark.postgres


@pytest.fixture
def silent() -> Iterator[str]:
    """Return the URL of a server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"postgresql://a@127.0.0.1:{server.getsockname()[1]}/b?connect_timeout=2"


def test_it_never_answers(tmp_path: Path, silent: str) -> None:
    """Whoever connects gives up after its limit."""
    address = database_of(silent)

    with pytest.raises(SinkFailed, match="cannot be reached"):
        send_bundles(address, PASSWORD, tmp_path, "runs")
    with pytest.raises(SinkFailed, match="cannot be reached"), fetched_ledger(address, PASSWORD):
        pass


def test_a_signal_ends_the_process_beside_a_proxy(tmp_path: Path) -> None:
    """It ends in order while its proxy still holds its standard input open, also when nobody listens."""
    put(tmp_path / "ledger", "w0-000001.jsonl", *chained(calls(0, 1))[0])
    words = (sys.executable, "-m", "cab.proxy.lifecycle.shipping_process")
    with port_without_listener() as port:
        given = {"ledger": str(tmp_path / "ledger"), "name": "ledger", "password": None}
        given |= {
            "url": f"postgresql://127.0.0.1:{port}/d",
            "log_level": "info",
            "log_format": "json",
        }
        pipes = subprocess.PIPE
        with subprocess.Popen(words, stdin=pipes, stderr=pipes, text=True) as process:
            assert process.stdin is not None
            assert process.stderr is not None
            process.stdin.write(json.dumps(given) + "\n")
            process.stdin.flush()
            assert "shipping_waits" in process.stderr.readline()
            process.send_signal(signal.SIGTERM)
            said = process.stderr.read()
    assert (process.returncode, "Fatal" in said) == (0, False), said


def test_it_stops_in_a_step(database: Database) -> None:
    """A server process that is stopped ends the step that waits for it."""
    address = database_of(database.url)
    connection = connect(address, PASSWORD)
    server = connection.info.backend_pid
    os.kill(server, signal.SIGSTOP)
    try:
        with pytest.raises(SinkFailed), step(connection, address, 0.5):
            connection.execute("select 1")
    finally:
        os.kill(server, signal.SIGCONT)
        with suppress(psycopg.Error):
            connection.close()


def test_it_stops_while_a_ledger_is_read(tmp_path: Path, database: Database) -> None:
    """The limit holds for what comes next, and not for all that a large ledger takes."""
    lines, _ = chained(calls(0, 20))
    put(tmp_path / "ledger", "w0-000001.jsonl", *lines)
    ship(tmp_path / "ledger", database)
    address = database_of(database.url)
    with psycopg.connect(database.server.admin_url(database.name)) as other:
        other.execute("lock table cab.lines in access exclusive mode")
        with pytest.raises(SinkFailed), fetched_ledger(address, PASSWORD, 0.5):
            pass
    with fetched_ledger(address, PASSWORD, 60) as folder:
        assert (folder / "w0-000001.jsonl").read_bytes() == b"".join(lines)


def test_each_answer_is_a_sign_of_life(database: Database) -> None:
    """What takes longer as a whole than a server may be silent goes on while it answers."""
    address = database_of(database.url)
    connection = connect(address, PASSWORD)
    try:
        with step(connection, address, 1) as watch:
            for _ in range(6):
                connection.execute("select pg_sleep(0.3)")
                watch.heard()
    finally:
        connection.close()
