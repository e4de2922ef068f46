"""A check that failed counts only where the task's reference answer passes."""

from pathlib import Path

import pytest

from cab.adapters.tasks.checks import run_checks
from cab.adapters.tasks.loader import Task
from cab.adapters.tasks.reference import confirmed
from tests.adapters.tasks.checktasks import scripted, write

CHECK = """
import os, sys
tool = os.environ["PATH"].split(":")[0] + "/works"
sys.exit(0 if os.path.exists(tool) and open("answer").read() == "42" else 1)
"""


def solvable(folder: Path) -> Task:
    """A task whose check needs a tool that a machine may lack."""
    write(folder, {"solution/answer": "42"})
    return scripted(folder, CHECK, given={"answer": ""})


@pytest.mark.parametrize(("works", "ran"), [(True, True), (False, False)])
async def test_a_failing_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works: bool, ran: bool
) -> None:
    """Where the reference fails too, the check did not run: nothing is known of the agent."""
    task, tools = solvable(tmp_path / "task"), tmp_path / "tools"
    tools.mkdir()
    if works:
        (tools / "works").touch()
    monkeypatch.setenv("PATH", str(tools))
    outcome = await run_checks(task, task.workspace)

    found = await confirmed(task, outcome)

    assert (outcome.passed, outcome.ran) == (False, True)
    assert (found.passed, found.ran) == (False, ran)
    assert (found == outcome) is works
    assert works or (found.reason or "").startswith("the task's own reference answer does not pass")


async def test_where_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    """A task without a reference answer keeps its verdict."""
    task = scripted(tmp_path / "task", "raise SystemExit(1)")
    outcome = await run_checks(task, task.workspace)
    assert await confirmed(task, outcome) is outcome
