"""The schema of the database: made and changed by migrations, forward only, one process at a time."""

import importlib.resources
import re
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from cab.proxy.errors import BadConfig
from cab.proxy.ledger.shipping.postgres.url import DatabaseAddress

if TYPE_CHECKING:
    import psycopg

LOCK = 0x6361622D6C65  # "cab-le": whoever changes the schema holds this advisory lock
_NAME = re.compile(r"([0-9]{4})_[a-z_]+\.sql")


class SchemaMigration(NamedTuple):
    """One step of the schema."""

    version: int
    name: str
    sql: str


@cache
def migrations() -> tuple[SchemaMigration, ...]:
    """Return all steps, in order."""
    folder = importlib.resources.files("cab.proxy.ledger.shipping.postgres").joinpath("migrations")
    found: list[SchemaMigration] = []
    for file in folder.iterdir():
        match = _NAME.fullmatch(file.name)
        if match is not None:
            text = file.read_text(encoding="utf-8")
            found.append(SchemaMigration(int(match[1]), file.name, text))
    return tuple(sorted(found))


def schema_version(connection: "psycopg.Connection[tuple[Any, ...]]") -> int:
    """Return the version of a database's schema; 0 if it has none of ours."""
    there = connection.execute("select to_regclass('cab.migrations')").fetchone()
    if there is None or there[0] is None:
        return 0
    row = connection.execute("select coalesce(max(version), 0) from cab.migrations").fetchone()
    return 0 if row is None else int(row[0])


def require_known(version: int, address: DatabaseAddress) -> None:
    """Refuse a schema of a later CAB.

    Raises:
        BadConfig: It is one.
    """
    newest = migrations()[-1].version
    if version > newest:
        raise BadConfig(
            f"{address.shown} has schema {version}, and this version of CAB knows {newest}; update CAB"
        )


def migrate(
    connection: "psycopg.Connection[tuple[Any, ...]]", address: DatabaseAddress
) -> list[str]:
    """Bring a database to the newest schema; return the names of the steps that were missing.

    All steps are one transaction, and several processes at once do each step once.

    Raises:
        BadConfig: A later version of CAB has changed the database.
        psycopg.Error: The database refused, as it does where the role may not create a schema.
    """
    with connection.transaction():
        version = schema_version(connection)
    require_known(version, address)
    if version == migrations()[-1].version:
        return []
    done: list[str] = []
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", (LOCK,))
        connection.execute("create schema if not exists cab")
        connection.execute(
            "create table if not exists cab.migrations (version integer primary key, name text not null, "
            "applied_at timestamptz not null default now())"
        )
        version = schema_version(connection)
        for step in migrations():
            if step.version > version:
                connection.execute(step.sql.encode())
                connection.execute(
                    "insert into cab.migrations (version, name) values (%s, %s)",
                    (step.version, step.name),
                )
                done.append(step.name)
        if done:
            connection.execute("select cab.allow_readers()")
    return done
