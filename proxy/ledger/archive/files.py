"""Files of an archive: copied or linked, durable, and the same bytes."""

import hashlib
import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from cab.proxy.errors import BadConfig
from cab.proxy.ledger.file_lock import lock_file
from cab.proxy.ledger.segments import sync_folder
from cab.scoring.errors import BadRecord

Step = Callable[[str], None]
"""Is told before each change of the disk; tests end the process there."""

LOCK_NAME = "archive.lock"


def no_step(_: str) -> None:
    """Do nothing between steps."""


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def put_file(path: Path, data: bytes, step: Step) -> None:
    """Write a file in one step: it is whole and on disk, or it is as it was."""
    unfinished = path.with_name(f"{path.name}.tmp")
    step(f"write {unfinished.name}")
    with unfinished.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    step(f"rename to {path.name}")
    unfinished.rename(path)
    sync_folder(path.parent)


def take_over(source: Path, target: Path, sha256: str, step: Step) -> None:
    """Have the same file at another place as well: a link on the same file system, else a copy.

    Raises:
        BadConfig: Another file has that name.
        OSError: The disk is full, say; the target is as it was.
    """
    if target.exists():
        if file_sha256(target) != sha256:
            raise BadConfig(f"{target} is there and is another file; give another folder")
        return
    step(f"link {target.name}")
    try:
        os.link(source, target)
    except OSError:
        _copy(source, target, sha256, step)


def _copy(source: Path, target: Path, sha256: str, step: Step) -> None:
    unfinished = target.with_name(f"{target.name}.tmp")
    try:
        with source.open("rb") as reading, unfinished.open("wb") as writing:
            shutil.copyfileobj(reading, writing, 1 << 20)
            writing.flush()
            os.fsync(writing.fileno())
        if file_sha256(unfinished) != sha256:
            raise OSError(None, f"{unfinished} reads back differently")
        step(f"rename to {target.name}")
        unfinished.rename(target)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


@contextmanager
def locked(ledger: Path) -> Generator[None]:
    """Keep others from archiving or restoring the same ledger; the proxy is not kept from anything.

    Raises:
        BadConfig: Another one is at it, or the ledger is not there, or the disk refuses.
    """
    if not ledger.is_dir():
        raise BadConfig(f"ledger {ledger} is not there")
    with naming_archive(ledger), (ledger / LOCK_NAME).open("a") as file:
        if not lock_file(file):
            raise BadConfig(f"ledger {ledger} is being archived by another command; wait for it")
        yield


@contextmanager
def naming_archive(ledger: Path) -> Generator[None]:
    """Turn an error of the disk, or of a record, into one that names the fix."""
    try:
        yield
    except BadRecord as error:
        what = "nothing was moved; cab ledger verify names all that does not hold"
        raise BadConfig(f"ledger {ledger} cannot be archived: {error}; {what}") from error
    except OSError as error:
        reason = " ".join(str(part) for part in (error.strerror, error.filename) if part)
        fix = "free some space or give another folder, and run the same command again"
        raise BadConfig(f"ledger {ledger}: {reason}; nothing is lost: {fix}") from error
