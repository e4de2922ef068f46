import base64
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from cab.scoring.errors import BadSealKey
from cab.scoring.ledger.signatures import (
    load_private_key,
    load_public_key,
    public_key_id,
    sign_seal,
    signature_fault,
    signed_bytes,
)

PRIVATE = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = PRIVATE.public_key()
SEAL: dict[str, Any] = {
    "cell_id": "s/aider/m/f/täsk#run2",
    "sealed_at": "2026-11-20T12:00:00.000000Z",
    "calls": 3,
    "records": 6,
    "prompt_tokens": None,
    "digest": "sha256:" + "ab" * 32,
}


def private_pem(key: Any, password: bytes | None = None) -> bytes:
    encryption: Any = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return bytes(key.private_bytes(encoding, form, encryption))


def public_pem(key: Any) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_bytes(serialization.Encoding.PEM, form))


def test_the_record_and_the_answer_are_signed_alike() -> None:
    """One signature holds for the seal that was answered and for its line in the ledger."""
    answer = sign_seal(SEAL, PRIVATE)
    record = {"schema": "cab.call/1", "kind": "cell_seal", **answer, "prev": "0", "hash": "1"}
    read_back = orjson.loads(orjson.dumps(record))

    assert signed_bytes(record) == signed_bytes(answer)
    for seal in (answer, record, read_back, dict(reversed(record.items()))):
        assert signature_fault(seal, PUBLIC) is None


def test_the_signed_bytes_are_those_of_the_page() -> None:
    """The example of docs/seals.md is what is signed, and its signature is the one stated there."""
    page = Path("docs/seals.md").read_text()
    first = {"cell_id": "s/a/m/f/t", "calls": 2, "digest": "sha256:00"}
    for members in (
        first,
        {"seal_schema": "cab.seal/2", **first},
        {"seal_schema": "cab.seal/3", **first},
    ):
        seal = sign_seal(members, PRIVATE)
        text = page.replace("\n    {", "\n{").replace("    cab", "cab")
        assert signed_bytes(seal).decode() in text
        assert seal["signature"] in page
        assert seal["public_key_id"] in page
    assert base64.b64encode(PUBLIC.public_bytes_raw()).decode() in page


@given(st.sampled_from(sorted(SEAL)), st.none() | st.integers(0, 9) | st.text(max_size=3))
def test_any_change_is_seen(member: str, value: object) -> None:
    """A seal of which one member has another value does not hold."""
    changed = {**sign_seal(SEAL, PRIVATE), member: value}
    expected = None if value == SEAL[member] else "the seal was changed after it was signed"
    assert signature_fault(changed, PUBLIC) == expected


@pytest.mark.parametrize("form", [None, "cab.seal/1", "cab.seal/4", ["cab.seal/2"]])
def test_a_seal_cannot_be_taken_for_one_of_another_form(form: object) -> None:
    """The form is signed twice over, as a member and in what comes before the members."""
    signed = sign_seal({**SEAL, "seal_schema": "cab.seal/2"}, PRIVATE)
    assert signature_fault(signed, PUBLIC) is None
    changed = {**signed, "seal_schema": form}
    assert signature_fault(changed, PUBLIC) == "the seal was changed after it was signed"


def test_members_cannot_be_added_or_taken_away() -> None:
    """A member more or less breaks the signature."""
    signed = sign_seal(SEAL, PRIVATE)
    fewer = {name: value for name, value in signed.items() if name != "calls"}
    for changed in (fewer, {**signed, "note": "x"}):
        assert signature_fault(changed, PUBLIC) == "the seal was changed after it was signed"


@pytest.mark.parametrize("signature", ["", "AAAA", "no base64!", 7, "ä"])
def test_what_is_no_signature_does_not_hold(signature: object) -> None:
    """A signature of a wrong form is a fault, not an exception."""
    seal = {**sign_seal(SEAL, PRIVATE), "signature": signature}
    assert signature_fault(seal, PUBLIC) == "the seal was changed after it was signed"


def test_another_key_is_named() -> None:
    """A seal without a signature, or with another key's, says so."""
    other = ed25519.Ed25519PrivateKey.generate().public_key()
    assert signature_fault(SEAL, PUBLIC) == "the seal is not signed"
    fault = signature_fault(sign_seal(SEAL, PRIVATE), other)
    assert fault == f"the seal is signed with {public_key_id(PUBLIC)}, not {public_key_id(other)}"


def test_keys_are_read_from_pem() -> None:
    """Keys come in the form that openssl writes."""
    private = load_private_key(private_pem(PRIVATE), "seal.pem")
    public = load_public_key(public_pem(PUBLIC), "seal.pub")
    assert signature_fault(sign_seal(SEAL, private), public) is None


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.mark.parametrize(
    "pem",
    [b"", b"canary", private_pem(PRIVATE, b"pass"), public_pem(PUBLIC)],
    ids=["empty", "text", "encrypted", "public"],
)
def test_what_is_no_private_key_is_refused(pem: bytes) -> None:
    """A file without a private key that can be read is named; nothing of it is shown."""
    with pytest.raises(
        BadSealKey, match=r"key seal\.pem is not a private key in PEM form"
    ) as caught:
        load_private_key(pem, "seal.pem")
    assert "canary" not in str(caught.value)


def test_other_kinds_of_keys_are_refused() -> None:
    """Seals are signed with Ed25519 and nothing else."""
    with pytest.raises(BadSealKey, match="is not an Ed25519 key"):
        load_private_key(private_pem(RSA), "seal.pem")
    with pytest.raises(BadSealKey, match="is not an Ed25519 key"):
        load_public_key(public_pem(RSA.public_key()), "seal.pub")
    with pytest.raises(BadSealKey, match="is not a public key"):
        load_public_key(private_pem(PRIVATE), "seal.pub")


def test_without_cryptography_the_mend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has not installed the extra is told how."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(BadSealKey, match=r"pip install 'coding-agent-bench\[seals\]'"):
        load_public_key(public_pem(PUBLIC), "seal.pub")


def test_cryptography_is_not_imported_before_it_is_needed() -> None:
    """Importing the module costs nobody the extra."""
    program = "import sys, cab.scoring.ledger.signatures; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
