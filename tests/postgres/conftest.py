"""A PostgreSQL for all tests of this folder, and a database for each."""

from collections.abc import Iterator

import pytest

from tests.tools.postgres import PostgresServer, running_postgres
from tests.tools.shipped import Database


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Run a server; tests that kill one have their own."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Database:
    """Return a database of the test's own."""
    return Database(postgres, postgres.new_database())
