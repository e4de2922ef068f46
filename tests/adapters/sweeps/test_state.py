"""The state of a sweep, from its journal."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cab.adapters.sweeps.journal import AttemptOutcome, Begin, Close, End, Entry, Session
from cab.adapters.sweeps.state import move_to_failed, replay

SLOT = "s/a/m/f/t#run1"
OTHER = "s/a/m/f/t#run2"
START = datetime(2026, 1, 1, tzinfo=UTC)


def at(second: float) -> str:
    return f"{START + timedelta(seconds=second):%Y-%m-%dT%H:%M:%S.%fZ}"


def session(second: float = 0) -> Session:
    return Session(at=at(second), sweep={}, fingerprints={}, cab_version="0")


def begin(cell_id: str, slot: str = SLOT, second: float = 0) -> Begin:
    return Begin(at=at(second), slot=slot, cell_id=cell_id)


def end(cell_id: str, verdict: AttemptOutcome, slot: str = SLOT, second: float = 0) -> End:
    return End(at=at(second), slot=slot, cell_id=cell_id, verdict=verdict)


def test_filled_by_a_second_attempt() -> None:
    """The slot has the cell that filled it; the attempt that failed is listed."""
    failed = end(SLOT, "infrastructure")
    state = replay(
        [begin(SLOT), failed, begin("s/a/m/f/t#run3"), end("s/a/m/f/t#run3", "complete")]
    )

    assert state.complete == {SLOT: "s/a/m/f/t#run3"}
    assert (state.unfilled, state.failed_attempts, state.open_attempts) == ({}, [failed], [])


def test_open_attempts() -> None:
    """What began and did not end was killed with its sweep."""
    entries: list[Entry] = [begin(SLOT), begin(OTHER, OTHER), end(OTHER, "stopped", OTHER)]
    state = replay(entries)

    assert state.open_attempts == [entries[0]]
    assert state.unfilled == {OTHER: entries[2]}


@pytest.mark.parametrize(
    ("entries", "runs", "number"),
    [
        ([], 2, 1),
        ([begin(SLOT)], 2, 3),
        ([begin(SLOT), begin("s/a/m/f/t#run3")], 2, 4),
        # The sweep was made longer: the third run's number is taken by an attempt at the first.
        ([begin("s/a/m/f/t#run3")], 3, 1),
        ([begin("s/a/m/f/other#run1", "s/a/m/f/other#run1")], 2, 1),
    ],
)
def test_numbers(entries: list[Entry], runs: int, number: int) -> None:
    """Each attempt has a number that no run of the matrix and no attempt before it has."""
    assert replay(entries).next_number(SLOT, runs) == number


def test_number_of_a_run_that_was_added() -> None:
    """A new slot whose own number an attempt took gets the next free one."""
    state = replay([begin(SLOT), begin("s/a/m/f/t#run3")])

    assert state.next_number("s/a/m/f/t#run3", 3) == 4


def test_numbers_of_the_ledger() -> None:
    """Cells that only the ledger knows have taken their numbers too."""
    state = replay([])
    state.reserve_numbers([SLOT, OTHER])

    assert state.next_number(SLOT, 2) == 3


def test_wall_time() -> None:
    """The time of all sessions counts; the time between them does not."""
    entries: list[Entry] = [session(0), begin(SLOT, second=1), end(SLOT, "complete", second=11)]
    again = session(1000)
    later: list[Entry] = [again, begin(OTHER, second=1002), Close(at=at(1005), reason="done")]

    state = replay([*entries, *later])

    assert state.wall_s == 11 + 5
    assert state.last_session == again


def test_move_to_failed(tmp_path: Path) -> None:
    """A bundle without a result is moved away with all its files; there may be none."""
    bundle = tmp_path / "runs" / SLOT
    bundle.mkdir(parents=True)
    (bundle / "INCOMPLETE").write_text("x")

    assert move_to_failed(tmp_path, SLOT) == f"failed/{SLOT}"
    assert (tmp_path / "failed" / SLOT / "INCOMPLETE").read_text() == "x"
    assert not bundle.exists()
    assert move_to_failed(tmp_path, SLOT) is None


def test_an_end_costs_the_same_in_a_large_fleet() -> None:
    """However many attempts are open, one that ends is found at once."""

    def cost_s(open_attempts: int) -> float:
        state = replay([begin(f"s/a/m/f/t#run{n}") for n in range(1, open_attempts + 1)])
        entries = [end(f"s/a/m/f/t#run{n}", "complete") for n in range(1, 51)]
        began_s = time.process_time()
        for entry in entries:
            state.apply(entry)
        return time.process_time() - began_s

    assert min(cost_s(20_000) for _ in range(3)) < 40 * min(cost_s(100) for _ in range(3))
