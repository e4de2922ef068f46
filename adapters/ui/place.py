"""Where a command reads: a path, or the URL of a database in the place of one."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cab.scoring.errors import BadRecord

_SCHEMES = ("postgresql://", "postgres://")


class DatabaseUrl(NamedTuple):
    """The URL of a database, not checked yet."""

    text: str

    def __str__(self) -> str:
        return self.text


class OpenedPlace(NamedTuple):
    """A place that can be read as a path."""

    path: Path
    shown: str
    """What people are shown instead of the path: the one that they gave, or the database."""

    def said(self, text: str) -> str:
        """Return a message with what people know in the place of a temporary folder."""
        return text.replace(str(self.path), self.shown)


def place(text: str) -> Path | DatabaseUrl:
    """Return what an argument names, for argparse."""
    return DatabaseUrl(text) if text.lower().startswith(_SCHEMES) else Path(text)


@contextmanager
def opened_place(given: Path | DatabaseUrl) -> Generator[OpenedPlace]:
    """Yield a place as a path; a ledger in a database is fetched first, and is gone afterwards.

    Raises:
        CabProxyError: The database cannot be read, or has no such ledger.
        BadRecord: Of what is done within, with what people know as its path.
    """
    if isinstance(given, Path):
        yield OpenedPlace(given, str(given))
        return
    # Only who reads a database waits for this.
    from cab.proxy.auth.held_secrets import hide  # noqa: PLC0415
    from cab.proxy.ledger.postgres.reading import fetched_ledger  # noqa: PLC0415
    from cab.proxy.ledger.postgres.url import database_of  # noqa: PLC0415

    address, password = database_of(given.text), os.environ.get("PGPASSWORD") or None
    hide((password,), ("PGPASSWORD",))
    with fetched_ledger(address, password) as folder:
        opened = OpenedPlace(folder, address.shown)
        try:
            yield opened
        except BadRecord as error:
            where, reason = opened.said(error.path), opened.said(error.reason)
            raise BadRecord(where, error.line, reason, error.field) from error
