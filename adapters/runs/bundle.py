"""The folder of a cell: claimed before the run, marked until it is complete, never overwritten by chance.

A marker lies in the folder from the claim until `cell.json` is in place; the process that holds its
lock is writing. A folder with a marker is an interrupted cell and not a result: the marker says how
far the run came, and what the next run has to clean up first.
"""

import os
import shutil
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cab.adapters.errors import AdapterError, BundleExists
from cab.adapters.processes.cleanup import CleanupPlan
from cab.adapters.workspaces.removal import remove_tree
from cab.proxy.ledger.file_lock import lock_file
from cab.proxy.redaction import Redactor
from cab.scoring.capture.layout import FOLDER
from cab.scoring.cells.bundle import AFTER_FILE, BEFORE_FILE, CALLS_FILE, CELL_FILE, STDOUT_FILE
from cab.scoring.cells.result_record import RESULT_FILE

MARKER = "INCOMPLETE"
"""File that marks a bundle as incomplete."""

STDERR_FILE = "stderr.txt"
RECORDING_FILE = "recording.cast"
PATCH_FILE = "changes.patch"
SEAL_FILE = "seal.json"
ACCOUNT_FILE = "upstream-account.json"
LEDGER_FOLDER = "ledger"

# A new run replaces these files. A file that the user put there stays.
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
    RESULT_FILE,
)

Phase = Literal["setting up", "agent", "sealing", "checks", "scoring"]


class Marker(BaseModel):
    """What a marker says of the run that wrote it."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    pid: int
    phase: Phase
    cleanup: CleanupPlan = Field(validation_alias="leftovers", serialization_alias="leftovers")
    """What to clean up if the run was cut short."""


def is_complete(bundle: Path) -> bool:
    """Tell whether a folder holds a finished cell."""
    return (bundle / CELL_FILE).is_file() and not (bundle / MARKER).exists()


def require_free(bundle: Path, force: bool) -> None:
    """Make sure that a cell may be written to a folder.

    Raises:
        BundleExists: A complete cell is there, and `force` is not set.
    """
    if is_complete(bundle) and not force:
        raise BundleExists(
            f"{bundle} already holds this cell; give --run N for one more run, or --force"
        )


class Claim:
    """A bundle's folder that this process owns.

    Args:
        marker: The marker, open and locked.
        previous: What an interrupted earlier run left to clean up.
    """

    def __init__(self, marker: IO[str], previous: CleanupPlan | None) -> None:
        self._marker = marker
        self._cleanup = CleanupPlan()
        self.previous = previous

    def note(self, phase: Phase, cleanup: CleanupPlan | None = None) -> None:
        """Record how far the run is, and what would have to be cleaned up from now on."""
        self._cleanup = cleanup or self._cleanup
        marker = Marker(pid=os.getpid(), phase=phase, cleanup=self._cleanup.lasting)
        # In place, as the lock is on this very file.
        text = marker.model_dump_json(by_alias=True, exclude_none=True) + "\n"
        os.pwrite(self._marker.fileno(), text.encode(), 0)
        os.ftruncate(self._marker.fileno(), len(text.encode()))


def read_marker(bundle: Path) -> Marker | None:
    """Return what the marker of an interrupted cell says; None if there is none, or it is empty."""
    try:
        return Marker.model_validate_json((bundle / MARKER).read_bytes())
    except (OSError, ValidationError):
        return None


@contextmanager
def claim_bundle(bundle: Path, force: bool) -> Generator[Claim]:
    """Own a bundle's folder while the block runs, emptied of an earlier run.

    If the block succeeds the bundle is complete; if it raises, the marker stays.

    Args:
        bundle: The folder; made if missing.
        force: Whether a complete cell there may be replaced.

    Raises:
        BundleExists: Another run is writing there, or a complete cell is there.
        AdapterError: The folder cannot be written.
    """
    with _open_marker(bundle, force) as marker:
        _lock(marker, bundle)
        if (bundle / CELL_FILE).exists() and not force:
            # Written last, so the cell is complete: only the marker remained, or another run was faster.
            (bundle / MARKER).unlink()
            require_free(bundle, force)
        before = read_marker(bundle)
        _empty(bundle)
        yield Claim(marker, before.cleanup if before else None)
        remove_tree(bundle / MARKER)


def _open_marker(bundle: Path, force: bool) -> IO[str]:
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
    # Between our opening and our locking, its holder may have removed the marker.
    if os.fstat(marker.fileno()).st_nlink == 0:
        raise BundleExists(f"{bundle} was finished by another run just now")


def _empty(bundle: Path) -> None:
    for name in _OURS:
        (bundle / name).unlink(missing_ok=True)
        _part(bundle, name).unlink(missing_ok=True)
    for name in (LEDGER_FOLDER, FOLDER):
        shutil.rmtree(bundle / name, ignore_errors=True)


def _part(bundle: Path, name: str) -> Path:
    return bundle / f"{name}.part"


class BundleWriter:
    """Writes a bundle's files atomically, without secrets.

    Args:
        bundle: The folder.
        redact: Takes the secrets out.
    """

    def __init__(self, bundle: Path, redact: Redactor) -> None:
        self._bundle = bundle
        self._redact = redact
        self._written: dict[str, bytes] = {}

    def write(self, name: str, data: bytes) -> None:
        """Replace one file."""
        self._written[name] = self._redact(data)
        self._put(name)

    def restore(self) -> list[str]:
        """Write again what is not as it was written; return the names of those files."""
        changed = [name for name, data in self._written.items() if not self._holds(name, data)]
        for name in changed:
            self._put(name)
        return changed

    def _put(self, name: str) -> None:
        partial, file = _part(self._bundle, name), self._bundle / name
        remove_tree(partial)  # the code of a check may have put a pipe or a folder there
        with partial.open("xb") as handle:
            handle.write(self._written[name])
            handle.flush()
            os.fsync(handle.fileno())
        if file.is_dir():
            remove_tree(file)
        partial.replace(file)

    def _holds(self, name: str, data: bytes) -> bool:
        try:
            file = os.open(self._bundle / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return False
        try:
            facts = os.fstat(file)
            if not stat.S_ISREG(facts.st_mode) or facts.st_size != len(data):
                return False
            with os.fdopen(os.dup(file), "rb") as handle:
                return handle.read(len(data) + 1) == data
        finally:
            os.close(file)
