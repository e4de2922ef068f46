"""Moves access state out of the ledger's folder, where it used to lie, into the state folder.

What is there already stays, so that a key or a revocation of either folder still holds.
"""

import contextlib
import secrets
from pathlib import Path

from cab.proxy.auth.revocations import FILE_NAME as REVOKED
from cab.proxy.auth.revocations import append_lines
from cab.proxy.auth.signing_keys import FILE_NAME as SIGNING_KEY
from cab.proxy.auth.signing_keys import draft_of, load_or_create_signing_keys, load_signing_keys
from cab.proxy.errors import BadConfig
from cab.proxy.ledger.file_lock import lock_file
from cab.proxy.ledger.segments import make_folder, sync_folder
from cab.proxy.logs import RedactingLogger

log = RedactingLogger()


def take_over_revocations(ledger: Path, state: Path) -> None:
    """Make the state folder, and move the revocations of a ledger's folder into it.

    Raises:
        BadConfig: The state folder cannot be written.
    """
    old, file = ledger / REVOKED, state / REVOKED
    try:
        make_folder(state)
        if old.is_file() and old.resolve() != file.resolve():
            known = set(file.read_bytes().splitlines()) if file.exists() else set[bytes]()
            lines = [line for line in old.read_bytes().splitlines() if line not in known]
            if lines:
                append_lines(file, b"".join(line + b"\n" for line in lines))
            _remove(old, file)
    except OSError as error:
        raise _not_written(state, error) from error


def take_over_signing_keys(ledger: Path, state: Path) -> None:
    """Move the signing keys of a ledger's folder into the state folder, behind those that it has.

    Raises:
        BadConfig: The state folder cannot be written, or a file holds no usable keys.
    """
    old, file = ledger / SIGNING_KEY, state / SIGNING_KEY
    if not old.exists() or old.resolve() == file.resolve():
        return
    try:
        # One at a time: of two that add to the same file one would undo what the other did.
        with (state / "take-over.lock").open("wb") as lock:
            lock_file(lock, blocking=True)
            if old.exists():
                _add_keys(old, file)
                _remove(old, file)
    except OSError as error:
        raise _not_written(state, error) from error


def _add_keys(old: Path, file: Path) -> None:
    added = load_signing_keys(old).keys
    ours = load_or_create_signing_keys(file, old.read_text()).keys
    known, ids = {key.secret for key in ours}, {key.id for key in ours}
    lines = [
        f"{secrets.token_hex(4) if key.id in ids else key.id}:{key.secret}\n"
        for key in added
        if key.secret not in known
    ]
    if lines:
        text = file.read_text().rstrip("\n") + "\n"
        with draft_of(file, text + "".join(lines)) as draft:
            draft.replace(file)
    sync_folder(file.parent)


def _remove(old: Path, file: Path) -> None:
    with contextlib.suppress(OSError):  # it is mounted, say: nothing is added twice
        old.unlink()
        log.warning("state_moved", moved=str(old), to=str(file))


def _not_written(state: Path, error: OSError) -> BadConfig:
    reason = error.strerror or str(error)
    return BadConfig(f"state folder {state} cannot be written: {reason}; set state to another one")
