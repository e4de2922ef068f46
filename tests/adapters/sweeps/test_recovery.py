"""Attempts that a killed sweep left open."""

import asyncio
import fcntl
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from cab.adapters.errors import AdapterError
from cab.adapters.processes.cleanup import CleanupPlan
from cab.adapters.processes.tree import RUN_MARK
from cab.adapters.runs.bundle import Marker, claim_bundle
from cab.adapters.runs.run_cell import run_cell
from cab.adapters.runs.spec import CellSpec
from cab.adapters.sweeps.journal import Begin, End
from cab.adapters.sweeps.recovery import recover
from cab.adapters.sweeps.state import replay
from cab.proxy.accounting.limits import KeyLimits
from tests.adapters.light_task import light_task
from tests.adapters.sweeps.spend import spend

TASK = "polyglot/python-error-handling"
CELL = f"s/scripted/demo/{TASK}#run1"
SPENDS = {CELL: spend(calls=3, tokens=20, uncounted=1)}


async def recovered(folder: Path, wait_s: float = 60) -> End:
    """Return how the one open attempt ended."""
    state = replay([Begin(slot=CELL, cell_id=CELL)])
    [end] = await recover(state, folder, SPENDS, KeyLimits(), wait_s)
    return end


def marked(folder: Path, cleanup: CleanupPlan) -> Path:
    """Return a bundle that was cut short."""
    bundle = folder / "runs" / CELL
    with suppress(ZeroDivisionError), claim_bundle(bundle, force=False) as claim:
        claim.note("agent", cleanup)
        raise ZeroDivisionError
    return bundle


async def test_complete(tmp_path: Path) -> None:
    """A bundle that was complete when the sweep was killed is its slot's result, and stays."""
    spec = CellSpec(
        tui="scripted", model="demo", task=light_task(), upstream="demo", sweep="s", run=1,
        runs=tmp_path / "runs",
    )  # fmt: skip
    bundle = await run_cell(spec)

    end = await recovered(tmp_path)

    assert (end.verdict, end.passed, end.bundle) == ("complete", True, f"runs/{CELL}")
    assert (bundle / "cell.json").exists()


async def test_cut_short(tmp_path: Path) -> None:
    """One that is marked is moved to the failed ones as killed, with what the ledger knows of its calls."""
    bundle = marked(tmp_path, CleanupPlan())

    end = await recovered(tmp_path)

    assert (end.verdict, end.reason) == ("killed", "it was running when the sweep was killed")
    assert (end.calls, end.tokens, end.bundle) == (3, None, f"failed/{CELL}")
    assert not bundle.exists()


async def test_nothing_there(tmp_path: Path) -> None:
    """An attempt that had no folder yet was killed all the same."""
    end = await recovered(tmp_path)

    assert (end.verdict, end.bundle) == ("killed", None)


async def test_processes_left(tmp_path: Path) -> None:
    """An agent that outlived its sweep is ended."""
    agent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "import time; time.sleep(600)"), env={RUN_MARK: "mark-of-the-run"}
    )
    marked(tmp_path, CleanupPlan(mark="mark-of-the-run"))

    await recovered(tmp_path)

    assert await agent.wait() < 0


async def test_still_written(tmp_path: Path) -> None:
    """The process of a cell may need a while to end its agent; it is waited for, not for ever."""
    bundle = marked(tmp_path, CleanupPlan())
    assert Marker.model_validate_json((bundle / "INCOMPLETE").read_bytes()).phase == "agent"

    with (bundle / "INCOMPLETE").open("rb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(AdapterError, match="is still being written by a process"):
            await recovered(tmp_path, wait_s=0.2)
        async with asyncio.TaskGroup() as group:
            recovery = group.create_task(recovered(tmp_path))
            await asyncio.sleep(0)
            fcntl.flock(handle, fcntl.LOCK_UN)

    assert recovery.result().verdict == "killed"


async def test_many_are_waited_for_together(tmp_path: Path) -> None:
    """The wait is for all processes of a killed sweep: a second one that hangs does not get it once more."""
    cells = [CELL, CELL.replace("#run1", "#run2")]
    state = replay([Begin(slot=cell, cell_id=cell) for cell in cells])
    bundle = marked(tmp_path, CleanupPlan())
    other = bundle.with_name(bundle.name.replace("#run1", "#run2"))
    other.mkdir()
    (other / "INCOMPLETE").write_bytes((bundle / "INCOMPLETE").read_bytes())
    loop = asyncio.get_running_loop()
    with (bundle / "INCOMPLETE").open("rb") as first, (other / "INCOMPLETE").open("rb") as second:
        for handle, free_at_s in ((first, 0.5), (second, 1.3)):
            fcntl.flock(handle, fcntl.LOCK_EX)
            loop.call_later(free_at_s, fcntl.flock, handle, fcntl.LOCK_UN)
        # With a wait of its own, from 0.5 s on, the second one would be free in time.
        with pytest.raises(AdapterError, match=r"#run2 is still being written"):
            await recover(state, tmp_path, SPENDS, KeyLimits(), wait_s=1.0)
