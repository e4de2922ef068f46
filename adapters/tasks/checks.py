"""Runs a task's hidden checks on what an agent left behind.

The workspace itself is only read. The checks run in a copy of it, which `cab.adapters.tasks.staging` lays
out; the environment holds no key; and a run that shows too few tests is no pass, whatever its exit
code.

Hidden tests that a command runs share a process with the agent's code, which could forge their
output. A probe's answers are judged here, where no code of the agent runs: to forge them it would
have to know them, and whoever knows them has solved the task.
"""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from cab.adapters.tasks.check_process import CommandResult, run_command
from cab.adapters.tasks.loader import Check, Task, missing_needs
from cab.adapters.tasks.probe import run_probe
from cab.adapters.tasks.refusal_check import check_refusal
from cab.adapters.tasks.staging import environment, lay_out, words
from cab.adapters.tasks.verdict import CheckVerdict, Deadline
from cab.adapters.tasks.violations import find_violations
from cab.scoring.evidence.check_outcome import CheckOutcome

TAIL_CHARS = 2000
"""As much of the output as an outcome keeps, from its end."""
VIOLATION = "cab-violation: "
"""A line of a check's output that begins so says what the check found tampered with."""


async def run_checks(
    task: Task,
    workspace: Path,
    *,
    timeout_s: float | None = None,
    whole: bool = True,
    scratch: Sequence[str] = (),
) -> CheckOutcome:
    """Return what the hidden checks say of a workspace.

    Args:
        task: The task.
        workspace: What the agent left behind; it is not changed.
        timeout_s: Time limit instead of the task's own.
        whole: Go on after a wrong answer, so that the share of right ones is known.
        scratch: Patterns of the files that the agent keeps for itself.

    Returns:
        The outcome; if a program is missing, `exit_code` is None and `reason` says how to get it.
    """
    missing = missing_needs(task)
    if missing:
        return _not_run("; ".join(missing))
    deadline = Deadline(task.check.timeout_s if timeout_s is None else timeout_s)
    with tempfile.TemporaryDirectory(prefix="cab-check-", ignore_cleanup_errors=True) as name:
        stage = Path(name)
        try:
            await asyncio.to_thread(lay_out, task, workspace, stage)
            found = await asyncio.to_thread(find_violations, task, workspace, scratch=scratch)
        except OSError as error:
            return _not_run(f"the workspace cannot be laid out for the checks: {error}")
        try:
            parts = _verdicts(task, workspace, stage, deadline, whole=whole)
            verdicts = [each async for each in parts]
        except OSError as error:
            return _not_run(
                f"{error.filename} cannot be started: {error.strerror}; mend check.command"
            )
    return _outcome(verdicts, found)


def _not_run(reason: str) -> CheckOutcome:
    return CheckOutcome(passed=False, exit_code=None, reason=reason)


async def _verdicts(
    task: Task, workspace: Path, stage: Path, deadline: Deadline, *, whole: bool
) -> AsyncIterator[CheckVerdict]:
    """Yield what each part of a check says; after one that was stopped there is no other."""
    check = task.check
    if check.refusal is not None:
        yield await asyncio.to_thread(check_refusal, task, workspace, stage / "pristine")
    if check.command is not None:
        argv = words(check.command, stage)
        folder, variables = stage / "workspace", environment(task, stage)
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
    told = [line.removeprefix(VIOLATION).strip() for line in _told(stdout)] or None
    return CheckOutcome(
        passed=not reasons,
        exit_code=None if stopped else next((code for code in codes if code), 0),
        timed_out=stopped,
        stdout_tail=stdout[-TAIL_CHARS:],
        stderr_tail="".join(verdict.stderr for verdict in verdicts)[-TAIL_CHARS:],
        partial_score=shares[-1] if shares else None,
        reason=next(iter(reasons), None),
        violations=told if found is None else [*found, *(told or [])],
    )


def _told(output: str) -> list[str]:
    """Return the lines in which a check says what it found tampered with."""
    return [line for line in output.splitlines() if line.startswith(VIOLATION)]


def _why_failed(check: Check, run: CommandResult, limit_s: float) -> str | None:
    if run.exit_code is None:
        return f"stopped after {limit_s:g} s"
    if run.exit_code != 0:
        return f"the checks ended with exit code {run.exit_code}"
    output = f"{run.stdout}\n{run.stderr}"
    tests = _tests_run(check, output)
    if tests is not None and check.minimum_tests is not None and tests < check.minimum_tests:
        return f"{tests} tests ran, at least {check.minimum_tests} are due"
    lines = {line.rstrip() for line in output.splitlines()}
    absent = [line for line in check.must_print if line not in lines]
    return f"the checks did not print {absent[0]!r}" if absent else None


def _tests_run(check: Check, output: str) -> int | None:
    if check.tests_pattern is None:
        return None
    return sum(int(number) for number in re.findall(check.tests_pattern, output))
