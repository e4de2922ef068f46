"""The folder of a cell: claimed before the run, marked until it is whole, never lost by chance.

A marker lies in the folder from the claim until `cell.json` is in place; whoever holds its lock is
writing. A folder with a marker is an interrupted cell, and no result.
"""

import fcntl
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cab.adapters.errors import AdapterError, BundleExists
from cab.adapters.masking import Masker
from cab.scoring.bundle import AFTER_FILE, BEFORE_FILE, CALLS_FILE, CELL_FILE, STDOUT_FILE

MARKER = "INCOMPLETE"
"""File that marks a bundle as not whole."""

STDERR_FILE = "stderr.txt"
PATCH_FILE = "changes.patch"
SEAL_FILE = "seal.json"
ACCOUNT_FILE = "upstream-account.json"
LEDGER_FOLDER = "ledger"

# What a new run replaces. A file that somebody else put there is left alone.
_OURS = (
    CELL_FILE,
    CALLS_FILE,
    SEAL_FILE,
    BEFORE_FILE,
    AFTER_FILE,
    PATCH_FILE,
    STDOUT_FILE,
    STDERR_FILE,
    ACCOUNT_FILE,
)


def is_complete(bundle: Path) -> bool:
    """Tell whether a folder holds a cell that was brought to its end."""
    return (bundle / CELL_FILE).is_file() and not (bundle / MARKER).exists()


def require_free(bundle: Path, force: bool) -> None:
    """Make sure that a cell may be written to a folder.

    Raises:
        BundleExists: A whole cell is there, and `force` is not set.
    """
    if is_complete(bundle) and not force:
        raise BundleExists(
            f"{bundle} holds this cell already; give --run N for one more run, or --force"
        )


@contextmanager
def claimed(bundle: Path, force: bool) -> Generator[None]:
    """Own a bundle's folder while the block runs, emptied of an earlier run.

    If the block ends well the bundle is whole; if it raises, the marker stays.

    Args:
        bundle: The folder; made if missing.
        force: Whether a whole cell there may be replaced.

    Raises:
        BundleExists: Another run is writing there, or a whole cell is there.
        AdapterError: The folder cannot be written.
    """
    with _marker(bundle, force) as marker:
        _lock(marker, bundle)
        if (bundle / CELL_FILE).exists() and not force:
            # Written last, so the cell is whole: only the marker was left, or another run was faster.
            (bundle / MARKER).unlink()
            require_free(bundle, force)
        _empty(bundle)
        yield
        (bundle / MARKER).unlink()


def _marker(bundle: Path, force: bool) -> IO[str]:
    try:
        bundle.mkdir(parents=True, exist_ok=True)
        require_free(bundle, force)
        return (bundle / MARKER).open("a")
    except OSError as error:
        raise AdapterError(
            f"{bundle} cannot be written: {error.strerror}; give another folder with --runs"
        ) from error


def _lock(marker: IO[str], bundle: Path) -> None:
    try:
        fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BundleExists(f"{bundle} is being written by another run; wait for it") from error
    # Between our opening and our locking, its holder may have taken the marker away.
    if os.fstat(marker.fileno()).st_nlink == 0:
        raise BundleExists(f"{bundle} was finished by another run just now")


def _empty(bundle: Path) -> None:
    for name in _OURS:
        (bundle / name).unlink(missing_ok=True)
        _part(bundle, name).unlink(missing_ok=True)
    shutil.rmtree(bundle / LEDGER_FOLDER, ignore_errors=True)


def _part(bundle: Path, name: str) -> Path:
    return bundle / f"{name}.part"


class BundleWriter:
    """Writes a bundle's files, secrets masked, each of them whole or not at all.

    Args:
        bundle: The folder.
        mask: Takes the secrets out.
    """

    def __init__(self, bundle: Path, mask: Masker) -> None:
        self._bundle = bundle
        self._mask = mask

    def write(self, name: str, data: bytes) -> None:
        """Write one file."""
        partial = _part(self._bundle, name)
        with partial.open("wb") as handle:
            handle.write(self._mask(data))
            handle.flush()
            os.fsync(handle.fileno())
        partial.replace(self._bundle / name)
