"""Connections to a database: time limits for both sides, and errors as one line that names the fix."""

import socket
import threading
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
"""How long one step may take: a server that is stopped, or whose network is gone, says nothing for ever."""

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


@contextmanager
def step(
    connection: "psycopg.Connection[tuple[Any, ...]]",
    address: DatabaseAddress,
    limit_s: float = STEP_S + 30,
) -> Generator[None]:
    """Bound the time of what is done within, and turn the database's errors into `SinkFailed`.

    Raises:
        SinkFailed: The database failed, or the time is over.
    """
    import psycopg  # noqa: PLC0415 - as above

    timer = threading.Timer(limit_s, _cut, (connection,))
    timer.daemon = True
    timer.start()
    try:
        yield
    except psycopg.Error as error:
        raise SinkFailed(f"{address.shown}: {one_line(error)}") from error
    finally:
        timer.cancel()


def one_line(error: Exception) -> str:
    """Return the first line of what a database says, which has hints and positions below it."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return text or type(error).__name__


def _cut(connection: "psycopg.Connection[tuple[Any, ...]]") -> None:
    """End a connection under a thread that waits for it: it then sees that the server has gone."""
    with suppress(Exception), socket.socket(fileno=connection.fileno()) as handle:
        handle.shutdown(socket.SHUT_RDWR)
        handle.detach()
