"""The folder of a cell: claimed before the run, marked until it is whole, never lost by chance.

A marker lies in the folder from the claim until `cell.json` is in place; whoever holds its lock is
writing. A folder with a marker is an interrupted cell, and no result: the marker says how far the
run came, and what the next one has to clear up first.
"""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from cab.adapters.errors import AdapterError, BundleExists
from cab.adapters.processes.cleanup import CleanupPlan
from cab.proxy.file_lock import lock_file
from cab.proxy.redaction import Redactor
from cab.scoring.cells.bundle import AFTER_FILE, BEFORE_FILE, CALLS_FILE, CELL_FILE, STDOUT_FILE

MARKER = "INCOMPLETE"
"""File that marks a bundle as not whole."""

STDERR_FILE = "stderr.txt"
RECORDING_FILE = "recording.cast"
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
    RECORDING_FILE,
    ACCOUNT_FILE,
)

Phase = Literal["setting up", "agent", "sealing", "checks", "scoring"]


class Marker(BaseModel):
    """What a marker says of the run that wrote it."""

    model_config = ConfigDict(frozen=True)

    pid: int
    """Process of cab."""
    phase: Phase
    """How far the run came."""
    leftovers: CleanupPlan
    """What is left of it if it was cut short."""


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


class Claim:
    """A bundle's folder that this process owns.

    Args:
        marker: The marker, open and locked.
        left: What an earlier run left behind.
    """

    def __init__(self, marker: IO[str], left: CleanupPlan | None) -> None:
        self._marker = marker
        self._leftovers = CleanupPlan()
        self.left = left

    def note(self, phase: Phase, leftovers: CleanupPlan | None = None) -> None:
        """Write down how far the run is, and what it would leave behind from now on."""
        self._leftovers = leftovers or self._leftovers
        marker = Marker(pid=os.getpid(), phase=phase, leftovers=self._leftovers.lasting)
        # In place, as the lock is on this very file.
        text = marker.model_dump_json(exclude_none=True) + "\n"
        os.pwrite(self._marker.fileno(), text.encode(), 0)
        os.ftruncate(self._marker.fileno(), len(text.encode()))


def read_marker(bundle: Path) -> Marker | None:
    """Return what the marker of an interrupted cell says; None if there is none, or it is empty."""
    try:
        return Marker.model_validate_json((bundle / MARKER).read_bytes())
    except (OSError, ValidationError):
        return None


@contextmanager
def claimed(bundle: Path, force: bool) -> Generator[Claim]:
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
        before = read_marker(bundle)
        _empty(bundle)
        yield Claim(marker, before.leftovers if before else None)
        (bundle / MARKER).unlink()


def _marker(bundle: Path, force: bool) -> IO[str]:
    try:
        bundle.mkdir(parents=True, exist_ok=True)
        require_free(bundle, force)
        return os.fdopen(os.open(bundle / MARKER, os.O_RDWR | os.O_CREAT, 0o644), "r+")
    except OSError as error:
        raise AdapterError(
            f"{bundle} cannot be written: {error.strerror}; give another folder with --runs"
        ) from error


def _lock(marker: IO[str], bundle: Path) -> None:
    if not lock_file(marker):
        raise BundleExists(f"{bundle} is being written by another run; wait for it")
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

    def __init__(self, bundle: Path, mask: Redactor) -> None:
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
