"""Per-cell keys: what an agent holds instead of the endpoint's real key.

A key is a JSON Web Token (HS256) that names its cell and its expiry, so a proxy needs no table to
attribute a call, and any proxy that shares the signing key accepts it.
"""

import os
import secrets
from pathlib import Path

import jwt

from cab.proxy.errors import BadConfig, BadKey

ISSUER = "cab"
MIN_SIGNING_KEY_BYTES = 32
"""RFC 7518, section 3.2: an HS256 key is at least as long as the hash."""


def check_signing_key(signing_key: str) -> str:
    """Return the signing key if it is long enough.

    Raises:
        BadConfig: It has fewer than 32 bytes.
    """
    if len(signing_key.encode()) < MIN_SIGNING_KEY_BYTES:
        raise BadConfig(
            f"CAB_SIGNING_KEY has fewer than {MIN_SIGNING_KEY_BYTES} bytes; "
            "make one with: python3 -c 'import secrets; print(secrets.token_hex(32))'"
        )
    return signing_key


def new_signing_key() -> str:
    """Return a fresh signing key: 64 hex digits from the system's random source."""
    return secrets.token_hex(32)


def load_or_create_signing_key(file: Path) -> str:
    """Return the signing key in a file, which is made, readable by its owner only, if missing.

    Raises:
        BadConfig: The file cannot be read or written, or holds too short a key.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read_signing_key(file)
    except OSError as error:
        raise BadConfig(f"signing key {file} cannot be written: {error.strerror}") from error
    key = new_signing_key()
    with os.fdopen(descriptor, "w") as handle:
        handle.write(key + "\n")
    return key


def _read_signing_key(file: Path) -> str:
    try:
        return check_signing_key(file.read_text().strip())
    except OSError as error:
        raise BadConfig(f"signing key {file} cannot be read: {error.strerror}") from error


def mint(signing_key: str, cell_id: str, ttl_s: int, now_s: int) -> str:
    """Return a key for a cell.

    Args:
        signing_key: The operator's secret, 32 bytes or more.
        cell_id: The cell that will pay for calls with this key.
        ttl_s: Seconds until it expires, >= 1.
        now_s: Seconds since the Unix epoch.
    """
    claims = {
        "iss": ISSUER,
        "sub": cell_id,
        "iat": now_s,
        "exp": now_s + ttl_s,
        "jti": secrets.token_hex(8),
    }
    return jwt.encode(claims, check_signing_key(signing_key), algorithm="HS256")


def is_ours(token: str) -> bool:
    """Tell whether a token claims to be a cell key; whether it holds is for `cell_of` to say."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.InvalidTokenError, UnicodeEncodeError):  # the latter: a header that is no UTF-8
        return False
    return claims.get("iss") == ISSUER


def cell_of(signing_key: str, token: str, now_s: int) -> str:
    """Return the cell that a key names.

    Args:
        signing_key: The operator's secret.
        token: What the client sent.
        now_s: Seconds since the Unix epoch.

    Raises:
        BadKey: Not a key of ours, altered, or expired.
    """
    try:
        claims = jwt.decode(
            token,
            signing_key,
            algorithms=["HS256"],
            issuer=ISSUER,
            # PyJWT reads the machine's clock; ours is an argument, so expiry is checked below.
            options={"require": ["exp", "sub", "iss"], "verify_exp": False, "verify_iat": False},
        )
    except jwt.InvalidTokenError as error:
        raise BadKey("this key was not made for this proxy; mint one for the cell") from error
    if not isinstance(claims["exp"], int) or claims["exp"] <= now_s:
        raise BadKey("this cell's key has expired; mint a new one")
    return str(claims["sub"])
