"""Where a command reads: a path, or the URL of a database in the place of one."""

import argparse
import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
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


def files_only(text: str) -> Path:
    """Return the path that an argument names, for argparse.

    Raises:
        argparse.ArgumentTypeError: It is the URL of a database, which this command does not read.
    """
    found = place(text)
    if isinstance(found, DatabaseUrl):
        # Not the URL itself: it may hold a password.
        raise argparse.ArgumentTypeError(
            "give a path: this command does not read a database; cab ledger calls and verify, cab score and "
            "cab report do"
        )
    return found


def said(places: Iterable[OpenedPlace], text: str) -> str:
    """Return a message with what people know in the place of each temporary folder."""
    for each in places:
        text = each.said(text)
    return text


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
    from cab.proxy.ledger.shipping.postgres.reading import fetched_ledger  # noqa: PLC0415
    from cab.proxy.ledger.shipping.postgres.url import database_of  # noqa: PLC0415

    address, password = database_of(given.text), database_password()
    with fetched_ledger(address, password) as folder:
        opened = OpenedPlace(folder, address.shown)
        with _saying(opened):
            yield opened


@contextmanager
def opened_runs(given: Sequence[Path | DatabaseUrl]) -> Generator[list[OpenedPlace]]:
    """Yield places of cells as paths; bundles in a database are fetched first, and are gone afterwards.

    Raises:
        CabProxyError: A database cannot be read, or has no cells.
        BadRecord: As for `opened_place`.
    """
    with ExitStack() as stack:
        places: list[OpenedPlace] = []
        for each in given:
            if isinstance(each, Path):
                places.append(OpenedPlace(each, str(each)))
                continue
            from cab.proxy.ledger.shipping.postgres.bundles import fetched_bundles  # noqa: PLC0415 - as above
            from cab.proxy.ledger.shipping.postgres.url import database_of  # noqa: PLC0415

            address = database_of(each.text)
            folder = stack.enter_context(fetched_bundles(address, database_password()))
            places.append(OpenedPlace(folder, address.shown))
            stack.enter_context(_saying(places[-1]))
        yield places


@cache
def database_password() -> str | None:
    """Return PGPASSWORD, which no other process sees from now on; None leaves it to a passfile."""
    from cab.proxy.auth.held_secrets import hide  # noqa: PLC0415 - only who needs a database waits

    password = os.environ.get("PGPASSWORD") or None
    hide((password,), ("PGPASSWORD",))
    return password


@contextmanager
def _saying(opened: OpenedPlace) -> Generator[None]:
    try:
        yield
    except BadRecord as error:
        where, reason = opened.said(error.path), opened.said(error.reason)
        raise BadRecord(where, error.line, reason, error.field) from error
