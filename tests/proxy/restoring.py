"""Cells as a proxy knows them after its start."""

from pathlib import Path

from cab.proxy.accounting.cell_state import CellStates
from cab.proxy.ledger.snapshot.snapshot import Snapshot


def restored(ledger: Path, state: Path | None = None) -> CellStates:
    """Return the cells of a ledger; without a state folder it is read as a whole."""
    snapshot = Snapshot(state, ledger)
    snapshot.catch_up()
    return CellStates(snapshot)
