"""Signed results: what covers a bundle, and that others can check it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

from cab.scoring.cells.bundle import read_bundle, score_bundle
from cab.scoring.cells.cell import dump_cell
from cab.scoring.cells.result_record import RESULT_FILE, RESULT_TYPE, result_record, verify_bundle
from cab.scoring.evidence.statement import file_sha256
from cab.scoring.ledger.seals import seal_lines
from cab.scoring.ledger.signatures import public_key_id, sign_seal
from tests.scoring.builders import CELL_ID, facts, write_bundle
from tests.scoring.ledgers import calls, chained

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle with a signed seal and a signed result."""
    folder = tmp_path / "b"
    write_bundle(folder)
    lines = chained(calls(2))
    (folder / "calls.jsonl").write_bytes(b"".join(lines))
    (folder / "stdout.txt").write_text("done")
    seal = sign_seal({"cell_id": CELL_ID, **seal_lines(lines)}, KEY)
    (folder / "seal.json").write_bytes(orjson.dumps(seal))
    cell = dump_cell(score_bundle(read_bundle(folder, facts())))
    (folder / "cell.json").write_bytes(cell)
    record = result_record(folder, CELL_ID, KEY, {"cell.json": cell})
    (folder / RESULT_FILE).write_bytes(record)
    return folder


def told(folder: Path, key: Ed25519PrivateKey = KEY) -> list[str]:
    return [str(fault) for fault in verify_bundle(folder, key.public_key()).faults]


def envelope(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = orjson.loads((folder / RESULT_FILE).read_bytes())
    return data


def test_a_whole_bundle_is_checked_whole(bundle: Path) -> None:
    """With the key everything is checked; without it, what was not is told."""
    found = verify_bundle(bundle, KEY.public_key())
    assert (found.faults, found.not_checked, found.exit_code) == ((), (), 0)
    found = verify_bundle(bundle)
    assert (found.holds, found.exit_code) == (True, 3)
    assert found.not_checked == (
        "the signature of seal.json: give --public-key",
        f"the signature of {RESULT_FILE}: give --public-key",
    )


def test_another_library_checks_the_record(bundle: Path) -> None:
    """Our envelope is DSSE: securesystemslib verifies it, and finds a changed one."""
    key = SSlibKey.from_crypto(KEY.public_key(), keyid=public_key_id(KEY.public_key()))
    read = Envelope.from_dict(envelope(bundle))
    assert list(read.verify([key], 1)) == [public_key_id(KEY.public_key())]
    statement = orjson.loads(read.payload)
    assert (read.payload_type, statement["_type"], statement["predicateType"]) == (
        "application/vnd.in-toto+json",
        "https://in-toto.io/Statement/v1",
        RESULT_TYPE,
    )
    stated = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
    assert stated == {
        file.name: file_sha256(file) for file in bundle.iterdir() if file.name != RESULT_FILE
    }
    read.payload += b" "
    with pytest.raises(VerificationError):
        read.verify([key], 1)


@pytest.mark.parametrize("name", ["cell.json", "before.json", "after.json", "stdout.txt"])
def test_each_file_is_covered(bundle: Path, name: str) -> None:
    """A file that was changed, removed or put in is named."""
    whole = (bundle / name).read_bytes()
    (bundle / name).write_bytes(whole + b" ")
    assert f"{name}: was changed: {RESULT_FILE} has SHA-256" in told(bundle)[-1]
    (bundle / name).unlink()
    assert told(bundle)[-1] == f"{name}: is missing; {RESULT_FILE} has it"
    (bundle / name).write_bytes(whole)
    (bundle / "recording.cast").touch()
    assert told(bundle) == [f"recording.cast: is not in {RESULT_FILE}: it was put in"]
    (bundle / "recording.cast").unlink()
    (bundle / name).unlink()
    os.mkfifo(bundle / name)
    assert f"{name}: is not a regular file" in told(bundle)[-1]


def changed_payload(data: dict[str, Any]) -> None:
    data["payload"] = data["payload"][:40] + "A" + data["payload"][41:]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data["signatures"][0].update(sig="AAAA"), "was changed after it was signed"),
        (lambda data: data["signatures"][0].update(sig="!"), "was changed after it was signed"),
        (lambda data: data["signatures"].clear(), "is not signed with ed25519:56475aa75463474c"),
        (changed_payload, f"{RESULT_FILE}:"),
        (lambda data: data.update(payload="?"), "payload: is not Base64"),
        (lambda data: data.update(payloadType="text/plain"), "payloadType: "),
    ],
)
def test_a_changed_record_is_found(
    bundle: Path, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    """Whatever is changed in the record, the bundle does not hold."""
    data = envelope(bundle)
    change(data)
    (bundle / RESULT_FILE).write_bytes(orjson.dumps(data))
    assert said in told(bundle)[0]


def test_another_key_is_told(bundle: Path) -> None:
    """Who expects another key is told which one signed."""
    seal, record = told(bundle, OTHER)
    assert seal.startswith("seal.json: the seal is signed with ed25519:56475aa75463474c, not")
    assert record.startswith(f"{RESULT_FILE}: is not signed with ed25519:")


def test_a_record_of_another_cell_is_told(bundle: Path) -> None:
    """The record names the cell, so that it cannot be laid into the bundle of another one."""
    record = result_record(bundle, "s/a/m/f/t", KEY, {})
    (bundle / RESULT_FILE).write_bytes(record)
    assert told(bundle) == [f"cell.json: is not the cell of {RESULT_FILE}, 's/a/m/f/t'"]


def test_another_kind_of_statement_is_told(bundle: Path) -> None:
    """A statement that the same key signed for another purpose is no result."""
    from cab.scoring.evidence.statement import signed_statement  # noqa: PLC0415

    (bundle / RESULT_FILE).write_bytes(signed_statement({}, "urn:x", {}, KEY))
    assert told(bundle) == [f"{RESULT_FILE}: is a 'urn:x', not a {RESULT_TYPE}"]
    record = signed_statement({"x": "0" * 64}, RESULT_TYPE, {"cell_id": CELL_ID}, KEY)
    (bundle / RESULT_FILE).write_bytes(record)
    assert told(bundle)[-1] == f"b: {RESULT_FILE} is about 'x', which no bundle has"
