"""Moves access state out of the ledger's folder, where it used to lie, into the state folder.

What is there already stays, so that a key or a revocation of either folder still holds.
"""

import contextlib
import os
import secrets
from pathlib import Path

from cab.proxy.auth.revocations import FILE_NAME as REVOKED
from cab.proxy.auth.revocations import append_lines
from cab.proxy.auth.signing_keys import FILE_NAME as SIGNING_KEY
from cab.proxy.auth.signing_keys import load_signing_keys
from cab.proxy.errors import BadConfig
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
    added = load_signing_keys(old).keys
    ours = load_signing_keys(file).keys if file.exists() else ()
    known, ids = {key.secret for key in ours}, {key.id for key in ours}
    lines = [
        f"{secrets.token_hex(4) if key.id in ids else key.id}:{key.secret}\n"
        for key in added
        if key.secret not in known
    ]
    try:
        if lines:
            text = file.read_text().rstrip("\n") + "\n" if ours else ""
            _replace(file, text + "".join(lines))
        _remove(old, file)
    except OSError as error:
        raise _not_written(state, error) from error


def _replace(file: Path, text: str) -> None:
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(file.parent)


def _remove(old: Path, file: Path) -> None:
    with contextlib.suppress(OSError):  # it is mounted, say: nothing is added twice
        old.unlink()
        log.warning("state_moved", moved=str(old), to=str(file))


def _not_written(state: Path, error: OSError) -> BadConfig:
    reason = error.strerror or str(error)
    return BadConfig(f"state folder {state} cannot be written: {reason}; set state to another one")
