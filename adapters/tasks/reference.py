"""Tells a machine that cannot check from an agent that failed: the reference answer must pass where a run did not."""

import asyncio
from pathlib import Path

from cab.adapters.processes.scratch import scratch_folder
from cab.adapters.tasks.check_process import CheckSite
from cab.adapters.tasks.checks import ON_HOST, run_checks
from cab.adapters.tasks.loader import Task, copy_workspace, lay_solution
from cab.scoring.evidence.check_outcome import CheckOutcome


async def confirmed(task: Task, outcome: CheckOutcome, site: CheckSite = ON_HOST) -> CheckOutcome:
    """Return the outcome of a check; of one that failed only if the task's reference answer passes here.

    A compiler without its toolchain, or limits that are too tight, would otherwise count against the agent.

    Args:
        task: The task; one without a reference answer, or without a program to run, is not tried.
        outcome: What the check of the agent's workspace came to.
        site: Where that check ran.

    Returns:
        The same outcome, or one of a check that did not run, with both reasons.
    """
    runs_programs = task.check.command is not None or task.check.probe is not None
    failed = outcome.ran and not outcome.passed and not outcome.spoiled
    if not (failed and runs_programs and task.solution.is_dir()):
        return outcome
    with scratch_folder("reference") as folder:
        await asyncio.to_thread(_lay, task, folder / "workdir")
        reference = await run_checks(task, folder / "workdir", site=site, whole=False)
    if reference.passed:
        return outcome
    reason = (
        f"the task's own reference answer does not pass on this machine ({reference.reason}), so the "
        f"check says nothing of the agent's ({outcome.reason})"
    )
    return outcome.model_copy(
        update={"exit_code": None, "timed_out": False, "partial_score": None, "reason": reason}
    )


def _lay(task: Task, workdir: Path) -> None:
    copy_workspace(task, workdir)
    lay_solution(task, workdir)
