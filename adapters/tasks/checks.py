"""Runs a task's hidden checks on what an agent left behind.

The workspace itself is only read. The checks run in a copy of it, which `cab.adapters.tasks.staging`
makes; the environment holds no key; and a run with too few tests does not pass, whatever its exit code.

Hidden tests that a command runs share a process with the agent's code, which could forge their
output. A probe's answers are compared here, where no code of the agent runs: to forge them it would
have to know them, and code that knows them has solved the task.
"""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from cab.adapters.tasks.check_process import CheckDeadline, CheckVerdict, CommandResult, run_command
from cab.adapters.tasks.loader import Check, Task, missing_needs
from cab.adapters.tasks.probe import run_probe
from cab.adapters.tasks.refusal_check import check_refusal
from cab.adapters.tasks.staging import check_environment, fill_in, lay_out
from cab.adapters.tasks.violations import find_violations
from cab.scoring.evidence.check_outcome import CheckOutcome

TAIL_CHARS = 2000
"""How much of the output is in an outcome, from its end."""
VIOLATION = "cab-violation: "
"""A line of a check's output that starts with this reports tampering that the check found."""


async def run_checks(
    task: Task,
    workspace: Path,
    *,
    timeout_s: float | None = None,
    whole: bool = True,
    scratch: Sequence[str] = (),
) -> CheckOutcome:
    """Return the outcome of the hidden checks of a workspace.

    Args:
        task: The task.
        workspace: What the agent left behind; it is not changed.
        timeout_s: Time limit; None is the task's own.
        whole: Go on after a wrong answer, so that the share of correct ones is known.
        scratch: Patterns of the files that the agent keeps for itself.

    Returns:
        The outcome; if a program is missing, `exit_code` is None and `reason` says how to install it.
    """
    missing = missing_needs(task)
    if missing:
        return _not_run("; ".join(missing))
    deadline = CheckDeadline(task.check.timeout_s if timeout_s is None else timeout_s)
    with tempfile.TemporaryDirectory(prefix="cab-check-", ignore_cleanup_errors=True) as name:
        stage = Path(name)
        try:
            await asyncio.to_thread(lay_out, task, workspace, stage)
            found = await asyncio.to_thread(find_violations, task, workspace, scratch=scratch)
        except OSError as error:
            return _not_run(f"the workspace cannot be copied for the checks: {error}")
        try:
            parts = _verdicts(task, workspace, stage, deadline, whole=whole)
            verdicts = [each async for each in parts]
        except OSError as error:
            return _not_run(
                f"{error.filename} cannot be started: {error.strerror}; correct check.command"
            )
    return _outcome(verdicts, found)


def _not_run(reason: str) -> CheckOutcome:
    return CheckOutcome(passed=False, exit_code=None, reason=reason)


async def _verdicts(
    task: Task, workspace: Path, stage: Path, deadline: CheckDeadline, *, whole: bool
) -> AsyncIterator[CheckVerdict]:
    """Yield the verdict of each part of a check; a part that was stopped is the last."""
    check = task.check
    if check.refusal is not None:
        yield await asyncio.to_thread(check_refusal, task, workspace, stage / "pristine")
    if check.command is not None:
        argv = fill_in(check.command, stage)
        folder, variables = stage / "workspace", check_environment(task, stage)
        run = await run_command(argv, folder, variables, deadline.left_s())
        reason = _why_failed(check, run, deadline.limit_s)
        yield CheckVerdict(run.exit_code, run.stdout, run.stderr, reason)
        if run.exit_code is None:
            return
    if check.probe is not None:
        yield await run_probe(task, check.probe, stage, deadline, whole=whole)


def _outcome(verdicts: list[CheckVerdict], found: list[str] | None) -> CheckOutcome:
    codes = [verdict.exit_code for verdict in verdicts]
    stopped = None in codes
    stdout = "".join(verdict.stdout for verdict in verdicts)
    shares = [verdict.share for verdict in verdicts if verdict.share is not None]
    reasons = [verdict.reason for verdict in verdicts if verdict.reason is not None]
    reported = [
        line.removeprefix(VIOLATION).strip()
        for line in stdout.splitlines()
        if line.startswith(VIOLATION)
    ]
    return CheckOutcome(
        passed=not reasons,
        exit_code=None if stopped else next((code for code in codes if code), 0),
        timed_out=stopped,
        stdout_tail=stdout[-TAIL_CHARS:],
        stderr_tail="".join(verdict.stderr for verdict in verdicts)[-TAIL_CHARS:],
        partial_score=shares[-1] if shares else None,
        reason=next(iter(reasons), None),
        violations=(reported or None) if found is None else [*found, *reported],
    )


def _why_failed(check: Check, run: CommandResult, limit_s: float) -> str | None:
    if run.exit_code is None:
        return f"stopped after {limit_s:g} s"
    if run.exit_code != 0:
        return f"the checks ended with exit code {run.exit_code}"
    output = f"{run.stdout}\n{run.stderr}"
    tests = _tests_run(check, output)
    if tests is not None and check.minimum_tests is not None and tests < check.minimum_tests:
        return f"{tests} tests ran, but at least {check.minimum_tests} must run"
    lines = {line.rstrip() for line in output.splitlines()}
    absent = [line for line in check.must_print if line not in lines]
    return f"the checks did not print {absent[0]!r}" if absent else None


def _tests_run(check: Check, output: str) -> int | None:
    if check.tests_pattern is None:
        return None
    return sum(int(number) for number in re.findall(check.tests_pattern, output))
