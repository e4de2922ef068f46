"""A real PostgreSQL of a test's own: Debian's, in a temporary folder, as a user who is not root."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.tools.ports import free_port

PASSWORD = "not-for-argv"
_NOBODY = 65534


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, the newest; None if it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


def require_postgres() -> Path:
    """Return where PostgreSQL is; fail in CI, and skip elsewhere, if it is not."""
    found = programs()
    if found is None:
        reason = "PostgreSQL is not installed: apt-get install postgresql"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def _version(initdb: Path) -> int:
    return int(initdb.parts[-3].partition(".")[0])


@dataclass(slots=True)
class PostgresServer:
    """A server in a folder; it can be killed and started again on the same port."""

    bin: Path
    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None
    _numbers: Iterator[int] = field(default_factory=count)

    def run(self, *words: str) -> None:
        """Run one of the server's programs as its user."""
        done = subprocess.run(
            [self.bin / words[0], *words[1:]], capture_output=True, check=False, **self._user()
        )
        assert done.returncode == 0, done.stderr.decode()

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        options = ("fsync=off", "shared_buffers=16MB", "max_connections=40")
        words = [word for option in options for word in ("-c", option)]
        where = ("-D", str(self.folder / "data"), "-p", str(self.port), "-k", str(self.folder))
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.bin / "postgres", *where, "-h", "127.0.0.1", *words],
                stdout=log,
                stderr=log,
                **self._user(),
            )
        while True:
            try:
                with psycopg.connect(self.admin_url("postgres")):
                    return
            except psycopg.OperationalError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.02)

    def kill(self) -> None:
        """Kill all of it, as a machine that is switched off does."""
        assert self.process is not None
        for pid in (*_children(self.process.pid), self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        # Its children are not ours: the socket and the shared memory are free when they have gone.
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop it at once, in order."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait()

    def admin_url(self, database: str) -> str:
        """Return a URL by which its administrator connects, over the socket and without a password."""
        return f"postgresql://admin@/{database}?host={self.folder}&port={self.port}"

    def url(self, database: str, user: str = "shipper") -> str:
        """Return a URL that needs a password."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Return the name of a new database, whose owner is `shipper`."""
        name = f"cab{next(self._numbers)}"
        with psycopg.connect(self.admin_url("postgres"), autocommit=True) as connection:
            connection.execute(f"create database {name} owner shipper".encode())
        return name

    def _user(self) -> dict[str, Any]:
        return {"user": _NOBODY, "group": _NOBODY, "cwd": "/"} if os.getuid() == 0 else {"cwd": "/"}


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a server with the roles `admin` and `shipper`; the latter needs a password over TCP."""
    found = require_postgres()
    folder = Path(tempfile.mkdtemp(prefix="cab-postgres-"))
    server = PostgresServer(found, folder, free_port())
    try:
        if os.getuid() == 0:
            os.chown(folder, _NOBODY, _NOBODY)
        data = str(folder / "data")
        server.run(
            "initdb", "-D", data, "-U", "admin", "-E", "UTF8", "--locale=C", "-N", "-A", "trust"
        )
        hba = "local all admin trust\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (folder / "data" / "pg_hba.conf").write_text(hba)
        server.start()
        with psycopg.connect(server.admin_url("postgres"), autocommit=True) as connection:
            connection.execute(
                f"create role shipper login createrole password '{PASSWORD}'".encode()
            )
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
