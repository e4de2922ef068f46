"""Tokens that open the live view once.

That one is there, and was not used, is kept in the state folder: any process of the proxy may be asked.
"""

import hashlib
import secrets
from pathlib import Path

_VALID_S = 24 * 3600
_FOLDER = "live-tokens"


def new_live_token(state_folder: Path, now_s: int) -> str:
    """Return a token that opens the live view once, within a day.

    Raises:
        OSError: It cannot be noted.
    """
    token, folder = secrets.token_urlsafe(24), state_folder / _FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in folder.iterdir():
        if now_s - old.stat().st_mtime > _VALID_S:
            old.unlink(missing_ok=True)
    _file(folder, token).touch(mode=0o600)
    return token


def spend_live_token(state_folder: Path, token: str, now_s: int) -> bool:
    """Return whether a token is valid; from now on it is not."""
    file = _file(state_folder / _FOLDER, token)
    try:
        made_s = file.stat().st_mtime
        file.unlink()  # of two who come at once one removes it, and only that one is let in
    except OSError:
        return False
    return now_s - made_s <= _VALID_S


def _file(folder: Path, token: str) -> Path:
    # Not the token itself: whoever can list the folder could use it.
    return folder / hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
