"""A ledger out of a database, as the files that it was made of: all readers of files read it then.

The lines come back byte for byte. They are written to a temporary folder (TMPDIR), which needs room for
the ledger uncompressed; memory does not grow with it.
"""

import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cab.proxy.errors import BadConfig, CabProxyError
from cab.proxy.ledger.shipping.postgres.connection import SILENT_S, SilenceWatch, connect, step
from cab.proxy.ledger.shipping.postgres.schema import require_known, schema_version
from cab.proxy.ledger.shipping.postgres.url import DatabaseAddress
from cab.scoring.ledger.segments import segment_name

if TYPE_CHECKING:
    import psycopg

_FETCHED_ROWS = 2_000


class NotInDatabase(CabProxyError):
    """A ledger that a database does not have."""


class LedgerInDatabase(NamedTuple):
    """A ledger in a database."""

    ledger: str
    """Its id: the hash of the first record of its first chain."""
    name: str


@contextmanager
def fetched_ledger(
    address: DatabaseAddress, password: str | None, silent_s: float = SILENT_S
) -> Generator[Path]:
    """Yield a folder with the segments of a ledger, as they were when they were shipped; it goes afterwards.

    Args:
        address: The database, and which ledger of it.
        password: As for `connect`.
        silent_s: How long the database may say nothing; a large ledger takes its time.

    Raises:
        NotInDatabase: There is no such ledger, or there are several and none is named.
        BadConfig: The database has no ledgers at all, or is of a later version of CAB.
        SinkFailed: The database is away, refuses, or says nothing.
    """
    with tempfile.TemporaryDirectory(prefix="cab-ledger-") as temporary:
        connection = connect(address, password)
        try:
            with step(connection, address, silent_s) as watch:
                # Nothing but reading, all of it as of one moment.
                connection.execute(
                    "set session characteristics as transaction isolation level repeatable read"
                )
                connection.execute("set session characteristics as transaction read only")
                connection.commit()
                folder = _written(connection, address, Path(temporary), watch)
        finally:
            connection.close()
        yield folder


def _written(
    connection: "psycopg.Connection[tuple[Any, ...]]",
    address: DatabaseAddress,
    temporary: Path,
    watch: SilenceWatch,
) -> Path:
    with connection.transaction():
        version = schema_version(connection)
        require_known(version, address)
        if version == 0:
            raise BadConfig(
                f"{address.shown} has no ledgers; ship one: cab ledger ship LEDGER --to URL"
            )
        chosen = _chosen(connection, address)
        folder = temporary / "ledger"
        folder.mkdir()
        chains = connection.execute(
            "select ledger, chain, segment from cab.chains where folder = decode(%s, 'hex')",
            (chosen.ledger,),
        ).fetchall()
        for ledger, chain, last in chains:
            _write_chain(connection, folder, (ledger, chain), int(last), watch)
    return folder


def _chosen(
    connection: "psycopg.Connection[tuple[Any, ...]]", address: DatabaseAddress
) -> LedgerInDatabase:
    rows = connection.execute("select ledger, name from cab.ledgers order by first_shipped_at, 1")
    stored = [LedgerInDatabase(*row) for row in rows]
    wanted = address.ledger
    if wanted is not None:
        found = [each for each in stored if each.name == wanted or each.ledger.startswith(wanted)]
    else:
        found = stored
    if len(found) == 1:
        return found[0]
    listed = ", ".join(
        f"?ledger={each.ledger[:12]} ({each.name})" for each in (found or stored)[:10]
    )
    if not stored:
        raise NotInDatabase(f"{address.shown} has no ledger yet")
    what = f"has {len(found)} ledgers" if wanted is None else f"has {len(found)} ledgers {wanted!r}"
    raise NotInDatabase(f"{address.shown} {what}; add one of these to the URL: {listed}")


def _write_chain(
    connection: "psycopg.Connection[tuple[Any, ...]]",
    folder: Path,
    place: tuple[bytes, str],
    last: int,
    watch: SilenceWatch,
) -> None:
    worker = int(place[1].removeprefix("w"))
    at, handle = 0, None
    try:
        for segment, raw in _raw_lines(connection, place):
            watch.heard()
            if handle is None or segment != at:
                if handle is not None:
                    handle.close()
                at, handle = segment, (folder / segment_name(worker, segment)).open("wb")
            handle.write(raw)
    finally:
        if handle is not None:
            handle.close()
    if at < last:  # it was begun, and nothing of it was shipped
        (folder / segment_name(worker, last)).touch()


def _raw_lines(
    connection: "psycopg.Connection[tuple[Any, ...]]", place: tuple[bytes, str]
) -> Iterator[tuple[int, bytes]]:
    with connection.cursor(name="cab_lines") as cursor:
        cursor.itersize = _FETCHED_ROWS
        cursor.execute(
            "select segment, raw from cab.lines where ledger = %s and chain = %s "
            "order by segment, line, part",
            place,
        )
        for segment, raw in cursor:
            yield int(segment), bytes(raw)
