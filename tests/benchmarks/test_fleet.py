"""benchmarks/fleet.py in small: what it measures is what a sweep does."""

from pathlib import Path

from benchmarks.fleet import CALLS_PER_CELL, Fleet, restart, slots, spent, submit, write_ledger
from cab.adapters.sweeps.journal import read_journal
from cab.adapters.sweeps.state import replay
from cab.scoring.ledger.verify import verify_ledger

FLEET = Fleet(cells=60, nodes=8, failures=0.2)


def test_every_cell_ends_once_whatever_fails(tmp_path: Path) -> None:
    """Failed attempts are run again, each slot has one result, and a next start finds nothing to do."""
    done = submit(tmp_path, FLEET)
    state = replay(read_journal(tmp_path / "journal.jsonl"))
    assert state.complete.keys() == {slot.id for slot in slots(FLEET)}
    assert done["attempts"] == 60 + len(state.failed_attempts) > 60
    assert restart(tmp_path, FLEET)["left"] == 0


def test_its_ledger_holds(tmp_path: Path) -> None:
    """The ledger that is read and shipped verifies, and has every call."""
    write_ledger(tmp_path, FLEET)
    assert verify_ledger(tmp_path / "ledger").holds
    assert spent(tmp_path, FLEET)["calls"] == 60 * CALLS_PER_CELL
