"""Signed statements about files: in-toto Statements in DSSE envelopes, which other tools can check.

Sources: https://github.com/in-toto/attestation/tree/main/spec/v1 and
https://github.com/secure-systems-lab/dsse/blob/master/protocol.md.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import Field

from cab.scoring.errors import BadRecord
from cab.scoring.files import (
    FileModel,
    check_regular,
    naming,
    parse_json,
    read_object,
    validated,
)
from cab.scoring.ledger.signatures import PrivateSealKey, PublicSealKey, public_key_id

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"


class EnvelopeSignature(FileModel):
    """One signature of an envelope."""

    keyid: str
    """`ed25519:` and 16 hex digits, as seals name keys."""
    sig: str
    """Base64 of the Ed25519 signature."""


class Envelope(FileModel):
    """A DSSE envelope."""

    payload: str
    """Base64 of what is signed."""
    payload_type: Literal["application/vnd.in-toto+json"] = Field(alias="payloadType")
    signatures: list[EnvelopeSignature]


class SubjectDigest(FileModel):
    """The digest of a file."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class StatementSubject(FileModel):
    """A file that a statement is about."""

    name: str
    """Its path below the folder that the statement lies in."""
    digest: SubjectDigest


class Statement(FileModel):
    """An in-toto Statement."""

    statement_type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: list[StatementSubject]
    predicate_type: str = Field(alias="predicateType")
    predicate: dict[str, Any]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex.

    Raises:
        BadRecord: It cannot be read, or is not a regular file.
    """
    check_regular(path)
    with naming(path), path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def signed_statement(
    subjects: Mapping[str, str],
    predicate_type: str,
    predicate: Mapping[str, Any],
    key: PrivateSealKey,
) -> bytes:
    """Return the file of a signed statement.

    Args:
        subjects: Path of each file, and its SHA-256 in hex.
        predicate_type: URI that says what the predicate means.
        predicate: What is stated of the files.
        key: Signs it.
    """
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": n, "digest": {"sha256": d}} for n, d in subjects.items()],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    payload = orjson.dumps(statement)
    signature = key.sign(_signed_bytes(payload))
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [
            {
                "keyid": public_key_id(key.public_key()),
                "sig": base64.b64encode(signature).decode(),
            }
        ],
    }
    return orjson.dumps(envelope, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def read_statement(path: Path) -> tuple[Envelope, Statement]:
    """Return what a file of a signed statement holds; its signature is not checked.

    Raises:
        BadRecord: The file cannot be read, or is no envelope with a statement.
    """
    envelope = validated(Envelope, read_object(path), path)
    statement = validated(Statement, parse_json(_payload(envelope, path), path), path, at="payload")
    return envelope, statement


def envelope_fault(envelope: Envelope, key: PublicSealKey) -> str | None:
    """Return why no signature of an envelope holds under a key; None if one does."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - who has a key has this

    ours = [each for each in envelope.signatures if each.keyid == public_key_id(key)]
    if not ours:
        return f"is not signed with {public_key_id(key)}"
    try:
        payload = base64.b64decode(envelope.payload, validate=True)
        key.verify(base64.b64decode(ours[0].sig, validate=True), _signed_bytes(payload))
    except (InvalidSignature, binascii.Error, ValueError):
        return "was changed after it was signed"
    return None


def _payload(envelope: Envelope, path: Path) -> bytes:
    try:
        return base64.b64decode(envelope.payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRecord(str(path), None, "is not Base64", field="payload") from error


def _signed_bytes(payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding of a payload."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
