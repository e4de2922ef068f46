"""The form of a ledger's lines: each names the line before it and ends with its own hash."""

import hashlib
from typing import Any, NamedTuple, TypeGuard

import orjson

_HASH_MEMBER = b',"hash":"'
_HASH_BYTES = len(_HASH_MEMBER) + 64 + len(b'"}\n')
"""What `chain` puts in the place of a body's closing brace."""


class Chained(NamedTuple):
    """A finished line and the hash that the next one will name."""

    line: bytes
    hash: str


class Link(NamedTuple):
    """A line that is what its hash says."""

    record: dict[str, Any]
    prev: str
    hash: str


def chain(record: dict[str, Any], prev: str) -> Chained:
    """Return the ledger line of a record, newline included.

    `hash` is the SHA-256 of the line's bytes without the `hash` member, so that a verifier in any
    language checks the bytes it read and re-serialises nothing.

    Raises:
        orjson.JSONEncodeError: The record cannot be written as JSON.
    """
    return _hashed(orjson.dumps({**record, "prev": prev})[:-1])


def chained_line(body: bytes, prev: str) -> Chained:
    """Return the ledger line of a record that is JSON already.

    Args:
        body: The record without its closing brace; it has at least one member.
        prev: Hash of the line before.
    """
    return _hashed(b'%b,"prev":"%b"' % (body, prev.encode()))


def linked(body: bytes, prev: bytes) -> tuple[bytes, bytes]:
    """Return what `chained_line` does, without names: most records are written by this."""
    body = b'%b,"prev":"%b"' % (body, prev)
    digest = hashlib.sha256(body + b"}").hexdigest().encode()
    return b'%b,"hash":"%b"}\n' % (body, digest), digest


def _hashed(body: bytes) -> Chained:
    digest = hashlib.sha256(body + b"}").hexdigest()
    return Chained(b'%b,"hash":"%b"}\n' % (body, digest.encode()), digest)


def read_link(line: bytes) -> Link | None:
    """Return what a line holds; None if it is cut off, no JSON, or not what its hash says."""
    body, tail = line[:-_HASH_BYTES], line[-_HASH_BYTES:]
    if not tail.startswith(_HASH_MEMBER) or not tail.endswith(b'"}\n'):
        return None
    digest = hashlib.sha256(body + b"}").hexdigest()
    if tail[len(_HASH_MEMBER) : -3] != digest.encode():
        return None
    try:
        record: object = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not _is_object(record):
        return None
    prev = record.get("prev")
    return Link(record, prev, digest) if isinstance(prev, str) else None


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)
