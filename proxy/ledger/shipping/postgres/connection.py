"""Connections to a database: time limits for both sides, and errors as one line that names the fix."""

import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from cab.proxy.errors import BadConfig
from cab.proxy.ledger.shipping.postgres.url import DatabaseAddress
from cab.proxy.ledger.shipping.sink import SinkFailed

if TYPE_CHECKING:
    import psycopg

CONNECT_S = 10
STEP_S = 300.0
"""How long the server may take for one statement."""
SILENT_S = STEP_S + 30
"""How long it may say nothing: one that is stopped, or whose network is gone, would do so for ever."""

_PARAMETERS: dict[str, Any] = {
    "connect_timeout": CONNECT_S,
    "application_name": "cab",
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
    "client_encoding": "UTF8",
    # The server ends what this side does not wait for any more, and waits for no lock for ever.
    "options": f"-c statement_timeout={int(STEP_S)}s -c lock_timeout=60s -c timezone=UTC",
}


def load_psycopg() -> None:
    """Make sure that psycopg is there.

    Raises:
        BadConfig: It is not installed.
    """
    try:
        import_module("psycopg")  # an extra, which few have
    except ImportError as error:
        fix = "run: pip install 'coding-agent-bench[postgres]'"
        raise BadConfig(f"PostgreSQL needs psycopg, which is not installed; {fix}") from error


def connect(
    address: DatabaseAddress, password: str | None
) -> "psycopg.Connection[tuple[Any, ...]]":
    """Return a connection.

    Args:
        address: The database.
        password: What the server asks for; None leaves it to PGPASSWORD or a passfile.

    Raises:
        BadConfig: psycopg is not installed, or the URL has a parameter that libpq does not know.
        SinkFailed: The server is away, or refuses.
    """
    load_psycopg()
    import psycopg  # noqa: PLC0415 - as above
    from psycopg.conninfo import conninfo_to_dict, make_conninfo  # noqa: PLC0415

    try:
        given = conninfo_to_dict(address.url)
    except psycopg.Error as error:
        raise BadConfig(f"{address.shown}: the URL is not valid: {one_line(error)}") from error
    parameters = {name: value for name, value in _PARAMETERS.items() if name not in given}
    if password is not None:
        parameters["password"] = password
    try:
        return psycopg.connect(make_conninfo(address.url, **parameters))
    except psycopg.Error as error:
        raise SinkFailed(f"{address.shown} cannot be reached: {one_line(error)}") from error


class SilenceWatch:
    """Ends a connection whose server has said nothing for too long.

    Args:
        connection: What is ended.
        silent_s: How long the server may say nothing.
    """

    def __init__(self, connection: "psycopg.Connection[tuple[Any, ...]]", silent_s: float) -> None:
        self._connection, self._silent_s = connection, silent_s
        self._over = threading.Event()
        self._heard_s = time.monotonic()
        threading.Thread(target=self._look, daemon=True).start()

    def heard(self) -> None:
        """Take note that the server has said something."""
        self._heard_s = time.monotonic()

    def close(self) -> None:
        """SilenceWatch no longer."""
        self._over.set()

    def _look(self) -> None:
        while (left_s := self._heard_s + self._silent_s - time.monotonic()) > 0:
            if self._over.wait(left_s):
                return
        _cut(self._connection)


@contextmanager
def step(
    connection: "psycopg.Connection[tuple[Any, ...]]",
    address: DatabaseAddress,
    silent_s: float = SILENT_S,
) -> Generator[SilenceWatch]:
    """Bound how long the server may say nothing within, and turn the database's errors into `SinkFailed`.

    Without a call of `heard` of what it yields, that is the limit of the whole.

    Raises:
        SinkFailed: The database failed, or said nothing for that long.
    """
    import psycopg  # noqa: PLC0415 - as above

    watch = SilenceWatch(connection, silent_s)
    try:
        yield watch
    except psycopg.Error as error:
        raise SinkFailed(f"{address.shown}: {one_line(error)}") from error
    finally:
        watch.close()


def one_line(error: Exception) -> str:
    """Return the first line of what a database says, which has hints and positions below it."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return text or type(error).__name__


def _cut(connection: "psycopg.Connection[tuple[Any, ...]]") -> None:
    """End a connection under a thread that waits for it: it then sees that the server has gone."""
    with suppress(Exception), socket.socket(fileno=connection.fileno()) as handle:
        handle.shutdown(socket.SHUT_RDWR)
        handle.detach()
