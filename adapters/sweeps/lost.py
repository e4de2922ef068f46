"""What a sweep has lost since its journal was written: bundles that cannot be read, and calls in the ledger."""

from collections.abc import Container
from pathlib import Path

from cab.adapters.runs.bundle import is_complete
from cab.adapters.sweeps.budget import spend_by_cell
from cab.adapters.sweeps.state import BUNDLES, SweepState
from cab.scoring.cells.bundle import AFTER_FILE, BEFORE_FILE, CALLS_FILE, CELL_FILE, read_bundle
from cab.scoring.cells.cell import Cell
from cab.scoring.errors import BadRecord
from cab.scoring.files import read_object, validated
from cab.scoring.ledger.totals import CallTotals


def lost_results(folder: Path, state: SweepState) -> dict[str, str]:
    """Return slot -> why its result is none any more, of the slots that the journal calls complete."""
    reasons = {slot: _why_lost(folder, cell) for slot, cell in state.complete.items()}
    return {slot: why for slot, why in reasons.items() if why is not None}


def lost_calls(
    folder: Path, state: SweepState, in_ledger: Container[str]
) -> tuple[dict[str, CallTotals], list[str]]:
    """Return what is known of attempts whose calls are no longer in the ledger.

    Args:
        folder: The sweep's.
        state: The sweep's.
        in_ledger: Cells of which the ledger has calls.

    Returns:
        Cell -> its calls as its bundle has them; and the cells of which nothing is left, although the
        journal says that they made calls, or does not know.
    """
    found: dict[str, CallTotals] = {}
    lost: list[str] = []
    for cell_id, end in state.ended_attempts.items():
        if end.calls == 0 or cell_id in in_ledger:
            continue
        spend = _slice_of(folder, end.bundle, cell_id)
        if spend is not None and spend.calls == end.calls:
            found[cell_id] = spend
        else:
            lost.append(cell_id)
    return found, lost


def _slice_of(folder: Path, bundle: str | None, cell_id: str) -> CallTotals | None:
    if bundle is None:
        return None
    try:
        return spend_by_cell(folder / bundle / CALLS_FILE).get(cell_id)
    except BadRecord:
        return None


def _why_lost(folder: Path, cell_id: str) -> str | None:
    bundle = folder / BUNDLES / cell_id
    if not bundle.is_dir():
        return "its bundle is gone"
    if not is_complete(bundle):
        return "its bundle is not complete"
    for name in (BEFORE_FILE, AFTER_FILE):
        file = bundle / name
        if not (file.is_file() and file.stat().st_size):
            return f"its {name} is missing or empty"
    try:
        validated(Cell, read_object(bundle / CELL_FILE), bundle / CELL_FILE)
        # As the report reads it: what cannot be scored must not count as a result.
        named = read_bundle(bundle).facts.identity.cell_id
    except BadRecord as error:
        return f"its bundle cannot be read: {error}"
    return None if named == cell_id else f"its bundle is that of {named}"
