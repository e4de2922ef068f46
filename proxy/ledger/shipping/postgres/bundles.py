"""Bundles of cells in a database: sent when they are finished, and read back as the files that they were."""

import hashlib
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from cab.proxy.errors import BadConfig
from cab.proxy.ledger.shipping.postgres.connection import SilenceWatch, connect, step
from cab.proxy.ledger.shipping.postgres.reading import NotInDatabase
from cab.proxy.ledger.shipping.postgres.schema import migrate, require_known, schema_version
from cab.proxy.ledger.shipping.postgres.url import DatabaseAddress
from cab.scoring.cells.bundle import CELL_FILE, MARKER_FILE
from cab.scoring.files import MAX_FILE_BYTES, naming, walk

if TYPE_CHECKING:
    import psycopg


class SentBundles(NamedTuple):
    """What became of the bundles of a folder."""

    sent: int
    """Bundles that the database did not have, or had otherwise."""
    kept: int
    """Those that it had already."""
    left: list[str]
    """Files that are too large for it, and so are not there."""


def send_bundles(
    address: DatabaseAddress, password: str | None, folder: Path, name: str
) -> SentBundles:
    """Send the finished bundles below a folder; one that is there as it is now is left alone.

    Args:
        address: The database.
        password: As for `connect`.
        folder: The runs.
        name: What to call the folder there.

    Raises:
        BadRecord: The folder, or a file, cannot be read.
        SinkFailed: The database is away, or refuses.
    """
    sent, kept, left = 0, 0, list[str]()
    connection = connect(address, password)
    try:
        with step(connection, address) as watch:
            migrate(connection, address)
            connection.commit()
            for bundle, files in _bundles(folder):
                watch.heard()
                small = [file for file in files if file.stat().st_size <= MAX_FILE_BYTES]
                left += [str(file) for file in files if file not in small]
                place = name, str(PurePosixPath(bundle.relative_to(folder)))
                if _is_sent(connection, place, bundle / CELL_FILE, small):
                    kept += 1
                else:
                    _send(connection, place, small)
                    sent += 1
    finally:
        connection.close()
    return SentBundles(sent, kept, left)


@contextmanager
def fetched_bundles(address: DatabaseAddress, password: str | None) -> Generator[Path]:
    """Yield a folder with all bundles of a database; it goes afterwards.

    Args:
        address: The database; its `ledger` names one folder of runs.
        password: As for `connect`.

    Raises:
        NotInDatabase: It has no bundles, or none of that name, or those of several folders.
        BadConfig: It is of a later version of CAB.
        SinkFailed: It is away, or refuses.
    """
    with tempfile.TemporaryDirectory(prefix="cab-runs-") as temporary:
        connection = connect(address, password)
        try:
            with step(connection, address) as watch, connection.transaction():
                version = schema_version(connection)
                require_known(version, address)
                runs = _chosen(connection, address, version)
                folder = Path(temporary) / "runs"
                _write(connection, runs, folder, watch)
        finally:
            connection.close()
        yield folder


def _bundles(folder: Path) -> Generator[tuple[Path, list[Path]]]:
    """Yield the bundles that are finished, with their files; what lies deeper is not part of them."""
    for found, subfolders, files in walk(folder):
        if CELL_FILE in files:
            subfolders.clear()
            if MARKER_FILE not in files:
                paths = [found / file for file in files]
                yield found, [p for p in paths if p.is_file() and not p.is_symlink()]


def _is_sent(
    connection: "psycopg.Connection[tuple[Any, ...]]",
    place: tuple[str, str],
    cell: Path,
    files: list[Path],
) -> bool:
    """Return whether a bundle is there: its result, and the names and sizes of its files, are the same."""
    rows = connection.execute(
        "select file, sha256, octet_length(content) from cab.bundle_files "
        "where runs = %s and bundle = %s",
        place,
    ).fetchall()
    connection.commit()
    if {(str(row[0]), int(row[2])) for row in rows} != {(f.name, f.stat().st_size) for f in files}:
        return False
    with naming(cell):
        digest = hashlib.sha256(cell.read_bytes()).digest()
    return any(row[0] == cell.name and bytes(row[1]) == digest for row in rows)


def _send(
    connection: "psycopg.Connection[tuple[Any, ...]]", place: tuple[str, str], files: list[Path]
) -> None:
    with connection.transaction():
        connection.execute("delete from cab.bundle_files where runs = %s and bundle = %s", place)
        for file in files:
            with naming(file):
                content = file.read_bytes()
            connection.execute(
                "insert into cab.bundle_files (runs, bundle, file, sha256, content) "
                "values (%s, %s, %s, %s, %s)",
                (*place, file.name, hashlib.sha256(content).digest(), content),
            )


def _chosen(
    connection: "psycopg.Connection[tuple[Any, ...]]", address: DatabaseAddress, version: int
) -> str:
    names: list[str] = []
    if version:
        rows = connection.execute(
            "select distinct runs from cab.bundle_files order by 1"
        ).fetchall()
        names = [str(row[0]) for row in rows]
    found = names if address.ledger is None else [n for n in names if n == address.ledger]
    if len(found) == 1:
        return found[0]
    if not names:
        fix = "send them: cab ledger ship LEDGER --to URL --runs RUNS"
        raise NotInDatabase(f"{address.shown} has no cells; {fix}")
    listed = ", ".join(f"?ledger={name}" for name in names[:10])
    what = f"has {len(found)} folders of runs"
    raise NotInDatabase(f"{address.shown} {what}; add one of these to the URL: {listed}")


def _write(
    connection: "psycopg.Connection[tuple[Any, ...]]", runs: str, folder: Path, watch: SilenceWatch
) -> None:
    with connection.cursor(name="cab_bundles") as cursor:
        cursor.itersize = 8  # a file may be large
        cursor.execute(
            "select bundle, file, content from cab.bundle_files where runs = %s order by bundle, file",
            (runs,),
        )
        for bundle, file, content in cursor:
            watch.heard()
            target = folder / _checked(str(bundle)) / _checked(str(file))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def _checked(name: str) -> str:
    """Return a relative path that stays where it is put.

    Raises:
        BadConfig: Somebody has written another one into the database.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise BadConfig(
            f"the database has a bundle's file {name!r}, which is not a path below a folder"
        )
    return name
