"""Every attempt of a sweep in its report, each with the digest of its seal: none can be left out quietly."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

from cab.adapters.sweeps.state import BUNDLES, FAILED, SweepState
from cab.proxy.control.sealing import seal_key_from
from cab.scoring.cells.bundle import SEAL_FILE
from cab.scoring.evidence.statement import file_sha256, signed_statement

REPORT_FILE = "report.json"
SIGNED_REPORT_FILE = "report.intoto.json"
"""The signed statement about the report and the seals."""
REPORT_TYPE = "urn:coding-agent-bench:sweep-report:1"
"""Type of that statement's predicate: `sweep`, the sweep's name."""


def list_attempts(folder: Path, state: SweepState) -> list[dict[str, Any]]:
    """Return every attempt that was started, with or without a result, as JSON objects.

    Args:
        folder: The sweep's.
        state: The sweep's.
    """
    ended = [
        _attempt(folder, end.slot, end.cell_id, end.verdict, end.bundle)
        for end in state.ended_attempts.values()
    ]
    open_ones = [
        _attempt(folder, begin.slot, begin.cell_id, "open", None) for begin in state.open_attempts
    ]
    return [*ended, *open_ones]


def signed_report(
    sweep: str, report: bytes, attempts: Iterable[dict[str, Any]], key_file: Path
) -> bytes:
    """Return the signed statement about a report and the seals of its attempts.

    Raises:
        BadConfig: The key cannot be used.
    """
    seals = {
        f"{attempt['bundle']}/{SEAL_FILE}": attempt["seal_sha256"]
        for attempt in attempts
        if attempt["seal_sha256"] is not None
    }
    subjects = {REPORT_FILE: sha256(report).hexdigest(), **seals}
    return signed_statement(subjects, REPORT_TYPE, {"sweep": sweep}, seal_key_from(key_file))


def bundles_of(folder: Path) -> dict[str, Path]:
    """Return the cells whose bundles, whole or not, lie below a sweep's folder."""
    found: dict[str, Path] = {}
    for part in (BUNDLES, FAILED):
        for seal in sorted((folder / part).rglob(SEAL_FILE)):
            found[str(seal.parent.relative_to(folder / part))] = seal.parent
    return found


def _attempt(
    folder: Path, slot: str, cell_id: str, verdict: str, bundle: str | None
) -> dict[str, Any]:
    seal = None if bundle is None else folder / bundle / SEAL_FILE
    return {
        "slot": slot,
        "cell_id": cell_id,
        "verdict": verdict,
        "bundle": bundle,
        "seal_sha256": file_sha256(seal) if seal is not None and seal.is_file() else None,
    }
