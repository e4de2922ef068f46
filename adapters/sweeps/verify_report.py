"""Verifies a sweep's folder: its report lists every attempt, and each is what was sealed."""

from pathlib import Path
from typing import Any

from cab.adapters.sweeps.attempts import (
    REPORT_FILE,
    REPORT_TYPE,
    SIGNED_REPORT_FILE,
    bundles_of,
)
from cab.adapters.sweeps.budget import spend_by_cell
from cab.adapters.sweeps.journal import Begin, End, read_journal
from cab.scoring.cells.bundle import SEAL_FILE
from cab.scoring.cells.result_record import verify_bundle
from cab.scoring.errors import BadRecord
from cab.scoring.evidence.statement import envelope_fault, file_sha256, read_statement
from cab.scoring.files import is_list, is_object, read_object
from cab.scoring.ledger.signatures import PublicSealKey
from cab.scoring.ledger.verification.findings import Findings, Verification
from cab.scoring.ledger.verify import verify_ledger

LEDGER = "ledger"
JOURNAL = "journal.jsonl"


def is_sweep(folder: Path) -> bool:
    """Return whether a folder is a sweep's."""
    return (folder / JOURNAL).is_file() or (folder / REPORT_FILE).is_file()


def verify_sweep(folder: Path, public_key: PublicSealKey | None = None) -> Verification:
    """Return whether a sweep's report lists every attempt, and each bundle is what was sealed.

    An attempt is known from the journal, from its bundle, and from its calls in the ledger.

    Args:
        folder: The sweep's.
        public_key: What its report, its seals and its results must be signed with.

    Raises:
        BadRecord: There is no report, or it cannot be read.
    """
    findings = Findings()
    report = read_object(folder / REPORT_FILE)
    attempts = _attempts_of(report, folder / REPORT_FILE)
    _check_signature(folder, public_key, findings)
    known = _known(folder, str(report.get("sweep")), public_key, findings)
    for cell_id in sorted(known.keys() - attempts.keys()):
        what = f"attempt {cell_id} is in {known[cell_id]}, and {REPORT_FILE} does not list it"
        findings.add(folder, None, what)
    for attempt in attempts.values():
        _check_attempt(folder, attempt, public_key, findings)
    findings.check(f"{len(attempts)} attempts of {REPORT_FILE}, and that there are no others")
    return findings.result()


def _attempts_of(report: dict[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    listed: object = report.get("attempts")
    if not is_list(listed):
        raise BadRecord(str(path), None, "is missing: an older CAB wrote it", field="attempts")
    found = [attempt for attempt in listed if is_object(attempt)]
    return {str(attempt.get("cell_id")): attempt for attempt in found}


def _check_signature(folder: Path, key: PublicSealKey | None, findings: Findings) -> None:
    path = folder / SIGNED_REPORT_FILE
    if not path.exists():
        if key is None:
            findings.leave(f"who made {REPORT_FILE}: it is not signed")
        else:
            findings.add(folder, None, f"{SIGNED_REPORT_FILE} is missing: the report is not signed")
        return
    envelope, statement = read_statement(path)
    if key is None:
        findings.leave(f"the signature of {SIGNED_REPORT_FILE}: give --public-key")
    else:
        findings.check(f"the signature of {SIGNED_REPORT_FILE}")
        fault = envelope_fault(envelope, key)
        if fault is not None:
            findings.add(path, None, fault)
    if statement.predicate_type != REPORT_TYPE:
        findings.add(path, None, f"is a {statement.predicate_type!r}, not a {REPORT_TYPE}")
    stated = {subject.name: subject.digest.sha256 for subject in statement.subject}
    if stated.get(REPORT_FILE) != file_sha256(folder / REPORT_FILE):
        findings.add(folder / REPORT_FILE, None, f"is not the one that {path.name} is about")


def _known(
    folder: Path, sweep: str, key: PublicSealKey | None, findings: Findings
) -> dict[str, str]:
    """Return the attempts that left a trace, and where."""
    known: dict[str, str] = {}
    ledger = folder / LEDGER
    if ledger.is_dir():
        findings.extend(verify_ledger(ledger, public_key=key).as_findings())
        try:
            cells = [cell for cell in spend_by_cell(ledger) if cell.startswith(f"{sweep}/")]
        except BadRecord as error:
            findings.add(Path(error.path), error.line, f"{error.reason}; its cells are not known")
        else:
            known |= dict.fromkeys(cells, "the ledger")
    else:
        findings.leave(f"the ledger: it is not in {LEDGER}; attempts without a bundle are not seen")
    known |= dict.fromkeys(bundles_of(folder), "a bundle")
    entries = read_journal(folder / JOURNAL)
    started = (entry.cell_id for entry in entries if isinstance(entry, Begin | End))
    return known | dict.fromkeys(started, JOURNAL)


def _check_attempt(
    folder: Path, attempt: dict[str, Any], key: PublicSealKey | None, findings: Findings
) -> None:
    cell_id, bundle, digest = (attempt.get(n) for n in ("cell_id", "bundle", "seal_sha256"))
    place = None if bundle is None else _below(folder, str(bundle))
    if place is None or digest is None:
        if attempt.get("verdict") == "complete":
            findings.add(folder, None, f"attempt {cell_id} is complete, and its seal is gone")
        if place is not None and (place / SEAL_FILE).exists():
            findings.add(place, None, f"has a {SEAL_FILE} that {REPORT_FILE} does not list")
        return
    if not (place / SEAL_FILE).is_file():
        what = f"attempt {cell_id}: its seal is missing; {REPORT_FILE} has SHA-256 {digest}"
        findings.add(place / SEAL_FILE, None, what)
    elif file_sha256(place / SEAL_FILE) != digest:
        what = f"attempt {cell_id}: its seal was changed; {REPORT_FILE} has SHA-256 {digest}"
        findings.add(place / SEAL_FILE, None, what)
    else:
        findings.extend(verify_bundle(place, key).as_findings())


def _below(folder: Path, bundle: str) -> Path:
    """Return a bundle's folder; one that is not below the sweep's is none of its own.

    Raises:
        BadRecord: It leads out of the folder.
    """
    place = folder / bundle
    if not place.resolve().is_relative_to(folder.resolve()):
        raise BadRecord(str(folder / REPORT_FILE), None, f"{bundle!r} leads out of the folder")
    return place
