"""Signed seals: what is signed, with which key, and whether a signature holds.

The format is documented in docs/seals.md. It needs the package `cryptography` (the extra `seals`),
which is imported when a signature is made or checked and never before.
"""

import base64
import binascii
import hashlib
import importlib.util
from collections.abc import Mapping
from typing import Any, Final, Protocol

import orjson

from cab.scoring.errors import BadSealKey


class PublicSealKey(Protocol):
    """What checks signatures: an Ed25519PublicKey of `cryptography`, which need not be installed to know this type."""

    def public_bytes_raw(self) -> bytes:
        """Return its 32 bytes."""
        ...

    def verify(self, signature: bytes, data: bytes, /) -> None:
        """Raise `InvalidSignature` if the signature is of other data, or by another key."""
        ...


class PrivateSealKey(Protocol):
    """What signs: an Ed25519PrivateKey of `cryptography`."""

    def public_key(self) -> PublicSealKey:
        """Return the key that its signatures are checked with."""
        ...

    def sign(self, data: bytes, /) -> bytes:
        """Return the signature of data."""
        ...


CHECKPOINT_SCHEMA = "cab.checkpoint/1"
"""Form of a checkpoint, its `checkpoint_schema`: the heads of all chains, without a seal."""

ARCHIVE_SCHEMA: Final = "cab.archive/1"
"""Form of a checkpoint that stays in place of archived segments."""

_SIGNED_PREFIX = {
    None: b"cab.seal/1\n",
    "cab.seal/2": b"cab.seal/2\n",
    "cab.seal/3": b"cab.seal/3\n",
    CHECKPOINT_SCHEMA: b"cab.checkpoint/1\n",
    ARCHIVE_SCHEMA: b"cab.archive/1\n",
}
"""`seal_schema` of a seal -> what comes before the signed members, so that no other use of the key can
be taken for a seal, and no seal for one of another form."""
NOT_SIGNED = frozenset({"schema", "kind", "prev", "hash", "signature"})
"""Members of a record that are not part of the seal: its place in the ledger, and the signature."""


def signed_bytes(seal: Mapping[str, Any]) -> bytes:
    r"""Return the bytes that a seal's signature is over, of a record or of an answer alike.

    Raises:
        KeyError: Its form is not known.

    >>> signed_bytes({"kind": "cell_seal", "digest": "sha256:00", "calls": 2})
    b'cab.seal/1\n{"calls":2,"digest":"sha256:00"}'
    """
    members = {name: value for name, value in seal.items() if name not in NOT_SIGNED}
    form = seal.get("checkpoint_schema", seal.get("seal_schema"))
    return _SIGNED_PREFIX[form] + orjson.dumps(members, option=orjson.OPT_SORT_KEYS)


def load_private_key(pem: bytes, name: str) -> PrivateSealKey:
    """Return the key that signs seals.

    Args:
        pem: PKCS 8, not encrypted, as `openssl genpkey -algorithm ed25519` writes it.
        name: What it is called in an error.

    Raises:
        BadSealKey: It is not such a key, or `cryptography` is not installed.
    """
    _require_cryptography(name)
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415

    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:  # TypeError: it is encrypted
        raise BadSealKey(name, "is not a private key in PEM form without a password") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise BadSealKey(name, "is not an Ed25519 key")
    return key


def load_public_key(pem: bytes, name: str) -> PublicSealKey:
    """Return the key that seals are checked with.

    Args:
        pem: As `openssl pkey -pubout` writes it.
        name: What it is called in an error.

    Raises:
        BadSealKey: It is not such a key, or `cryptography` is not installed.
    """
    _require_cryptography(name)
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415

    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError as error:
        raise BadSealKey(name, "is not a public key in PEM form") from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise BadSealKey(name, "is not an Ed25519 key")
    return key


def _require_cryptography(name: str) -> None:
    if importlib.util.find_spec("cryptography") is None:
        what = "needs the package cryptography: pip install 'coding-agent-bench[seals]'"
        raise BadSealKey(name, what)


def public_key_id(key: PublicSealKey) -> str:
    """Return how seals name a key: `ed25519:` and 16 hex digits of the SHA-256 of its 32 bytes."""
    return f"ed25519:{hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]}"


def sign_seal(seal: Mapping[str, Any], key: PrivateSealKey) -> dict[str, Any]:
    """Return a seal with `public_key_id` and `signature`."""
    named = {**seal, "public_key_id": public_key_id(key.public_key())}
    return {**named, "signature": base64.b64encode(key.sign(signed_bytes(named))).decode()}


def signature_fault(seal: Mapping[str, Any], key: PublicSealKey) -> str | None:
    """Return why a seal's signature does not hold; None if it does."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - who has a key has this

    signature = seal.get("signature")
    if signature is None:
        return "the seal is not signed"
    if seal.get("public_key_id") != public_key_id(key):
        return f"the seal is signed with {seal.get('public_key_id')}, not {public_key_id(key)}"
    try:
        key.verify(base64.b64decode(signature, validate=True), signed_bytes(seal))
    except (InvalidSignature, binascii.Error, KeyError, TypeError, ValueError):
        return "the seal was changed after it was signed"
    return None
