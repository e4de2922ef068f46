"""The signed result record of a bundle: which files it has, and that they are what was written."""

from collections.abc import Mapping
from hashlib import sha256
from os.path import lexists
from pathlib import Path

from cab.scoring.cells.bundle import (
    AFTER_FILE,
    BEFORE_FILE,
    CALLS_FILE,
    CELL_FILE,
    PATCH_FILE,
    SEAL_FILE,
    STDOUT_FILE,
    read_facts,
)
from cab.scoring.errors import BadRecord
from cab.scoring.evidence.statement import (
    Statement,
    envelope_fault,
    file_sha256,
    read_statement,
    signed_statement,
)
from cab.scoring.files import StrPath
from cab.scoring.ledger.signatures import PrivateSealKey, PublicSealKey
from cab.scoring.ledger.verification.findings import Findings, Verification
from cab.scoring.ledger.verify import verify_seal

RESULT_FILE = "result.intoto.json"
RESULT_TYPE = "urn:coding-agent-bench:cell-result:1"
"""Type of the record's predicate: `cell_id`, of the cell whose files the subjects are."""

COVERED = (
    CELL_FILE, CALLS_FILE, SEAL_FILE, BEFORE_FILE, AFTER_FILE, PATCH_FILE, STDOUT_FILE,
    "stderr.txt", "recording.cast", "upstream-account.json",
)  # fmt: skip
"""Files that a record covers, as far as the bundle has them."""


def result_record(
    folder: Path, cell_id: str, key: PrivateSealKey, unwritten: Mapping[str, bytes]
) -> bytes:
    """Return the result record of a bundle.

    Args:
        folder: The bundle.
        cell_id: The cell.
        key: Signs it.
        unwritten: Files that are written after it, and their content.

    Raises:
        BadRecord: A file cannot be read.
    """
    there = [name for name in COVERED if lexists(folder / name) and name not in unwritten]
    digests = {name: file_sha256(folder / name) for name in there}
    digests |= {name: sha256(data).hexdigest() for name, data in unwritten.items()}
    return signed_statement(digests, RESULT_TYPE, {"cell_id": cell_id}, key)


def verify_bundle(folder: StrPath, public_key: PublicSealKey | None = None) -> Verification:
    """Return whether a bundle is what was written: its calls, its seal, and its result record.

    Args:
        folder: The bundle.
        public_key: What its seal and its record must be signed with.

    Raises:
        BadRecord: The seal's calls cannot be read at all.
    """
    folder = Path(folder)
    findings = Findings()
    if lexists(folder / SEAL_FILE):
        try:
            found = verify_seal(folder / CALLS_FILE, folder / SEAL_FILE, public_key)
            findings.extend(found.as_findings())
        except BadRecord as error:
            findings.add(Path(error.path), error.line, _told(error))
    else:
        what = (
            f"{SEAL_FILE} is missing: nothing says that these are the cell's calls, and all of them"
        )
        findings.add(folder, None, what)
    try:
        _check_record(folder, public_key, findings)
    except BadRecord as error:
        findings.add(Path(error.path), error.line, _told(error))
    return findings.result()


def _told(error: BadRecord) -> str:
    return error.reason if error.field is None else f"{error.field}: {error.reason}"


def _check_record(folder: Path, key: PublicSealKey | None, findings: Findings) -> None:
    path = folder / RESULT_FILE
    if not lexists(path):
        what = f"{CELL_FILE}, manifests and patch: the bundle has no signed {RESULT_FILE}"
        findings.leave(what)
        return
    envelope, statement = read_statement(path)
    if key is None:
        findings.leave(f"the signature of {RESULT_FILE}: give --public-key")
    else:
        findings.check(f"the signature of {RESULT_FILE}")
        fault = envelope_fault(envelope, key)
        if fault is not None:
            findings.add(path, None, fault)
    if statement.predicate_type != RESULT_TYPE:
        findings.add(path, None, f"is a {statement.predicate_type!r}, not a {RESULT_TYPE}")
        return
    _check_files(folder, statement, findings)
    findings.check(f"the files of the bundle against {RESULT_FILE}")


def _check_files(folder: Path, statement: Statement, findings: Findings) -> None:
    stated = {subject.name: subject.digest.sha256 for subject in statement.subject}
    for name in COVERED:
        file, digest = folder / name, stated.pop(name, None)
        if digest is None:
            if lexists(file):
                findings.add(file, None, f"is not in {RESULT_FILE}: it was put in")
        elif not lexists(file):
            findings.add(file, None, f"is missing; {RESULT_FILE} has it")
        elif file_sha256(file) != digest:
            findings.add(file, None, f"was changed: {RESULT_FILE} has SHA-256 {digest}")
    for name in stated:
        findings.add(folder, None, f"{RESULT_FILE} is about {name!r}, which no bundle has")
    cell_id = statement.predicate.get("cell_id")
    if lexists(folder / CELL_FILE) and read_facts(folder / CELL_FILE).identity.cell_id != cell_id:
        findings.add(folder / CELL_FILE, None, f"is not the cell of {RESULT_FILE}, {cell_id!r}")
