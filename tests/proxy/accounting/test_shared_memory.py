"""Counters in memory that processes share: what one leaves that is killed or stopped inside."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from cab.proxy.accounting.admission import AdmissionRequest
from cab.proxy.accounting.cell_state import CellState
from cab.proxy.accounting.shared_cell import SharedCell, Used, share_of
from cab.proxy.accounting.shared_memory import Counters, SharedMemory

COUNTERS = Counters(7, 6, 2, 50, 10)
NOW = 30_000_000
"""A minute since the Unix epoch."""
ASK = AdmissionRequest("a", "call")


def shared(memory: SharedMemory, generation: int = 1) -> SharedCell:
    """Return a place that is open to a generation, as a worker uses it."""
    assert memory.open(0, generation, COUNTERS)
    return SharedCell(memory, 0, generation, share_of(CellState("a"), "charge"))


@contextmanager
def locked_elsewhere(memory: SharedMemory) -> Generator[None]:
    """Have a process hold the locks of all places that does not go on."""
    holds = "import fcntl, sys; fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX); print(); input()"
    with subprocess.Popen(
        [sys.executable, "-S", "-c", holds, str(memory.descriptor)],
        pass_fds=(memory.descriptor,),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def test_a_process_that_is_stopped_with_the_lock_holds_nobody_up(memory: SharedMemory) -> None:
    """Nothing is admitted by the counters until the parent has opened them again with what it knows."""
    cell = shared(memory)
    with locked_elsewhere(memory):
        assert cell.admit(ASK, NOW) is None
        assert not cell.finish(Used(1, 5), NOW, counts=True)
        memory.suspend(0)
        assert (memory.last_seq(0), memory.last_seq(0, more=True)) == (7, 8)
        assert not memory.open(0, 2, COUNTERS)
    assert memory.last_seq(0, more=True) == 7
    assert cell.admit(ASK, NOW) is None
    assert not memory.open(0, 1, COUNTERS)
    assert shared(memory, 2).admit(ASK, NOW) == 8


def test_the_last_number_is_exact_while_a_call_ends(memory: SharedMemory) -> None:
    """Whoever holds the lock only to take a call out of flight takes no number."""
    shared(memory)
    memory.suspend(0)
    with locked_elsewhere(memory):
        assert memory.last_seq(0) == 7


def test_nobody_goes_by_counters_whose_writer_was_killed(memory: SharedMemory) -> None:
    """The number that was taken last is still told."""
    cell = shared(memory)
    with pytest.raises(TypeError):
        memory.write(0, 8, 7, "killed here")  # type: ignore[arg-type]
    assert cell.admit(ASK, NOW) is None
    assert not cell.finish(Used(1, 5), NOW, counts=True)
    assert memory.last_seq(0) == 8
    assert shared(memory, 2).admit(ASK, NOW) == 8


@pytest.mark.parametrize("ends", [True, False])
def test_what_happens_before_the_counters_are_opened_keeps_them_closed(
    ends: bool, memory: SharedMemory
) -> None:
    """A call that fails, or has ended, while its worker is armed for a generation is not in its counters."""
    armed = SharedCell(memory, 0, 3, None)
    if ends:
        armed.finish(Used(1, 5), NOW, counts=True)
    else:
        armed.close()
    assert not memory.open(0, 3, COUNTERS)
    assert memory.open(0, 4, COUNTERS)


def test_a_call_that_ends_late_closes_what_others_go_by(memory: SharedMemory) -> None:
    """Its worker had hung, and had not heard that the cell was shared anew: the counters lack what it used."""
    late, other = shared(memory, 1), shared(memory, 2)
    assert other.admit(ASK, NOW) == 8
    late.finish(Used(1, 1000), NOW, counts=True)
    assert other.admit(ASK, NOW) is None


def test_a_repetition_names_the_call_that_failed() -> None:
    """Not an earlier one of the same request that is remembered here, as it had not failed."""
    cell = CellState("a")
    cell.attempt("h", "1")
    cell.attempt_failed("h", "2", "2", 1)
    assert cell.attempt("h", "3") == (2, "2")
