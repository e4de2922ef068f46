"""Per-cell keys: what an agent has instead of the endpoint's real key.

Two are made for a cell: one to make calls with, for the agent, and one to seal the cell with, for
whoever opened it. An agent that could seal its own cell could end its run as it likes.

A key is a JSON Web Token (HS256) that names its cell, its expiry and its limits, so a proxy needs no
table to attribute a call, and any proxy that shares the signing key accepts it. Comparing the
signatures, in constant time, is PyJWT's.
"""

import secrets
from typing import Any, Literal, NamedTuple, get_args

from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.auth.signing_keys import KeyRing
from cab.proxy.errors import BadConfig, BadKey
from cab.scoring.ledger.bounds import MAX_CELL_ID_CHARS

ISSUER = "cab"
_NO_LIMITS = KeyLimits()
_REQUIRED = ["exp", "iat", "iss", "jti", "sub"]
_MAX_INSTANT_S = 253_402_300_799  # the end of the year 9999, the last that RFC 3339 can write


Scope = Literal["call", "seal"]
"""What a key is good for: calls of its cell, or its seal. Either may read what the cell has spent."""


class CellKeys(NamedTuple):
    """The two keys of a cell."""

    call: str
    """For the agent."""
    seal: str
    """For whoever opened the cell."""


class CellKey(NamedTuple):
    """What a key states."""

    cell_id: str
    key_id: str
    """The claim `jti`: how a key is named without showing it."""
    issued_s: int
    """Seconds since the Unix epoch."""
    expires_s: int
    """Seconds since the Unix epoch."""
    limits: KeyLimits
    scope: Scope = "call"


def mint_both(
    ring: KeyRing, cell_id: str, ttl_s: int, now_s: int, limits: KeyLimits = _NO_LIMITS
) -> CellKeys:
    """Return the two keys of a cell; arguments and errors are those of `mint`."""
    call = mint(ring, cell_id, ttl_s, now_s, limits)
    return CellKeys(call, mint(ring, cell_id, ttl_s, now_s, scope="seal"))


def mint(  # noqa: PLR0913 - what a key states
    ring: KeyRing,
    cell_id: str,
    ttl_s: int,
    now_s: int,
    limits: KeyLimits = _NO_LIMITS,
    scope: Scope = "call",
) -> str:
    """Return a key for a cell.

    Args:
        ring: The operator's signing keys; the first signs.
        cell_id: The cell that will pay for calls with this key.
        ttl_s: Seconds until it expires, >= 1.
        now_s: Seconds since the Unix epoch.
        limits: What the cell may spend.
        scope: What the key is good for.

    Raises:
        BadConfig: The cell's id is empty or too long, or the lifetime is not a valid one.
    """
    if len(cell_id) > MAX_CELL_ID_CHARS:
        raise BadConfig(f"a cell's id has at most {MAX_CELL_ID_CHARS} characters; shorten it")
    if not cell_id:
        raise BadConfig("a key needs a cell; give the cell's id")
    if ttl_s < 1 or now_s + ttl_s > _MAX_INSTANT_S:
        raise BadConfig(
            "a key expires after 1 s or later, and before the year 10000; fix its time to live"
        )
    claims = {
        "iss": ISSUER,
        "sub": cell_id,
        "iat": now_s,
        "exp": now_s + ttl_s,
        "jti": secrets.token_hex(8),
        "scope": scope,
        **limits.claims(),
    }
    import jwt  # noqa: PLC0415 - it takes long, and no key is read until the port is open

    signer = ring.signer
    return jwt.encode(claims, signer.secret, algorithm="HS256", headers={"kid": signer.id})


def is_ours(token: str) -> bool:
    """Return whether a token claims to be a cell key; `verify` finds out whether it is valid."""
    return unverified(token) is not None


def unverified(token: str) -> dict[str, Any] | None:
    """Return the claims of a token that calls itself a cell key, unchecked; None for any other."""
    import jwt  # noqa: PLC0415 - as above

    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.InvalidTokenError, UnicodeEncodeError):  # the latter: a header that is not UTF-8
        return None
    return claims if claims.get("iss") == ISSUER else None


def key_id_of(token: str) -> tuple[str, int | None]:
    """Return a key's id and, if it can be read, its expiry; the key need not be valid.

    Raises:
        BadKey: It is not a cell's key.
    """
    claims = unverified(token) or {}
    key_id, expires_s = claims.get("jti"), claims.get("exp")
    if not isinstance(key_id, str) or not key_id:
        raise BadKey(
            "this is not a cell's key; give the key itself, or its id as jti (cab keys revoke --jti ID)"
        )
    return key_id, expires_s if isinstance(expires_s, int) else None


def verify(ring: KeyRing, token: str, now_s: int) -> CellKey:
    """Return what a key states.

    Args:
        ring: The operator's signing keys.
        token: What the client sent.
        now_s: Seconds since the Unix epoch.

    Raises:
        BadKey: Not a key of ours, altered, or expired.
    """
    key = _read(_claims(ring, token))
    check_expiry(key, now_s)
    return key


def check_expiry(key: CellKey, now_s: int) -> None:
    """Return if a key has not expired.

    Raises:
        BadKey: It has.
    """
    if key.expires_s <= now_s:
        raise BadKey("this cell's key has expired; mint a new one")


def _claims(ring: KeyRing, token: str) -> dict[str, Any]:
    import jwt  # noqa: PLC0415 - as above

    try:
        key_id = jwt.get_unverified_header(token).get("kid")
    except (jwt.InvalidTokenError, UnicodeEncodeError) as error:
        raise _not_ours() from error
    for signing in ring.candidates(key_id):
        try:
            return jwt.decode(
                token,
                signing.secret,
                algorithms=["HS256"],
                issuer=ISSUER,
                # PyJWT reads the machine's clock; ours is an argument, so `verify` looks at expiry.
                options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidSignatureError:
            continue
        except jwt.InvalidTokenError as error:
            raise _not_ours() from error
    raise _not_ours()


def _not_ours() -> BadKey:
    return BadKey("this key was not made for this proxy; mint one for the cell")


def _read(claims: dict[str, Any]) -> CellKey:
    issued_s, expires_s = claims["iat"], claims["exp"]
    if not isinstance(issued_s, int) or not isinstance(expires_s, int):
        raise BadKey("this key does not say when it expires; mint a new one")
    try:
        limits = KeyLimits.from_claims(claims)
    except ValueError as error:
        raise BadKey(f"a limit of this key cannot be read: {error}; mint a new one") from error
    scope = claims.get("scope", "call")  # older keys have none
    if scope not in get_args(Scope):
        raise BadKey("this key's scope is not known here; mint a new one")
    return CellKey(str(claims["sub"]), str(claims["jti"]), issued_s, expires_s, limits, scope)
