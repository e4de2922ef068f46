"""Runs a task's hidden checks on what an agent left behind.

The workspace itself is only read. The checks run in a copy of it, which `cab.adapters.tasks.staging`
makes; the environment holds no key; and a run with too few tests does not pass, whatever its exit code.

Hidden tests that a command runs share a process with the agent's code, which could forge their
output. A probe's answers are compared here, where no code of the agent runs: to forge them it would
have to know them, and code that knows them has solved the task.
"""

import errno
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from threading import Event
from typing import NamedTuple

from cab.adapters.errors import NotStarted, RunFailed
from cab.adapters.processes.background import in_background
from cab.adapters.processes.cleanup import watched_cleanup
from cab.adapters.processes.scratch import scratch_folder
from cab.adapters.tasks.check_process import (
    CheckDeadline,
    CheckRunner,
    CheckSite,
    CheckVerdict,
    CommandResult,
    HostChecks,
)
from cab.adapters.tasks.loader import Check, Task
from cab.adapters.tasks.probe import run_probe
from cab.adapters.tasks.refusal_check import check_refusal
from cab.adapters.tasks.staging import lay_out, left_bytes
from cab.adapters.tasks.violations import find_violations
from cab.adapters.workspaces.folders import FolderId
from cab.scoring.evidence.check_outcome import CheckOutcome

MOST_LEFT_BYTES = 64 << 20
"""What an agent may leave without answering for a full disk."""
ON_HOST = HostChecks()
STAGING_S = 300.0
"""Time to copy and search a workspace; a file system that never answers ends it."""
TAIL_CHARS = 2000
"""How much of the output is in an outcome, from its end."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
VIOLATION = "cab-violation: "
"""A line of a check's output that starts with this reports tampering that the check found."""


async def run_checks(  # noqa: PLR0913 - a task, a workspace, and how the one is run on the other
    task: Task,
    workspace: Path,
    *,
    same: FolderId | None = None,
    timeout_s: float | None = None,
    site: CheckSite = ON_HOST,
    whole: bool = True,
    scratch: Sequence[str] = (),
) -> CheckOutcome:
    """Return the outcome of the hidden checks of a workspace.

    Args:
        task: The task.
        workspace: What the agent left behind; it is not changed.
        same: Which folder the workspace must be; None takes what is there.
        timeout_s: Time limit; None is the task's own.
        site: Where commands run; this machine, without limits, if nothing else is given.
        whole: Go on after a wrong answer, so that the share of correct ones is known.
        scratch: Patterns of the files that the agent keeps for itself.

    Returns:
        The outcome; if a program is missing, `exit_code` is None and `reason` says how to install it.
        Where the agent left what cannot be checked, it has failed, and `spoiled` says that.
    """
    missing = await site.missing(task)
    if missing:
        return _not_run("; ".join(missing))
    deadline = CheckDeadline(task.check.timeout_s if timeout_s is None else timeout_s)
    with scratch_folder("check") as stage:
        try:
            left = await in_background(
                lambda stop: _lay_out(_Subject(task, workspace, same, stop), stage, scratch),
                STAGING_S,
            )
        except TimeoutError:
            return _spoiled("looking at it took too long")
        except OSError as error:
            return _not_run(f"the workspace cannot be copied for the checks: {error}")
        if left.unchecked is not None:
            return _spoiled(left.unchecked, left.violations)
        runner = await site.runner(task, stage, deadline)
        with_stage = runner.cleanup.model_copy(update={"scratch": stage})
        with watched_cleanup(with_stage):
            try:
                return await _run_parts(task, runner, left, whole=whole)
            finally:
                await runner.close()


async def _run_parts(
    task: Task, runner: CheckRunner, left: "_Left", *, whole: bool
) -> CheckOutcome:
    try:
        parts = _verdicts(task, runner, left.refusal, whole=whole)
        verdicts = [each async for each in parts]
    except NotStarted as error:
        return _not_run(f"{error}; correct check.command")
    except RunFailed as error:
        return _spoiled(f"of the code in it, {error}", left.violations)
    return _outcome(verdicts, left.violations)


class _Subject(NamedTuple):
    task: Task
    workspace: Path
    same: FolderId | None
    stop: Event


class _Left(NamedTuple):
    """What was found in the workspace, before anything of it is run."""

    unchecked: str | None
    """Why it cannot be checked; None if it can."""
    violations: list[str] | None
    refusal: CheckVerdict | None


def _lay_out(subject: _Subject, stage: Path, scratch: Sequence[str]) -> _Left:
    task, workspace, same, stop = subject
    try:
        unchecked = lay_out(task, workspace, stage, same=same, stop=stop)
    except OSError as error:
        left = left_bytes(workspace, same=same, stop=stop) if error.errno in _FULL else 0
        if left <= MOST_LEFT_BYTES:
            raise
        # Otherwise an agent that fails could have its failure taken for one of the machine.
        return _Left(f"no room on the disk for a copy of the {left} bytes in it", None, None)
    found = find_violations(task, workspace, scratch=scratch, same=same, stop=stop)
    refusal = None
    if task.check.refusal is not None:
        refusal = check_refusal(task, workspace, stage / "pristine", same=same, stop=stop)
    return _Left(unchecked, found, refusal)


def _spoiled(reason: str, found: list[str] | None = None) -> CheckOutcome:
    return CheckOutcome(
        passed=False,
        exit_code=None,
        spoiled=True,
        reason=f"the agent's workspace cannot be checked: {reason}",
        violations=found,
    )


def _not_run(reason: str) -> CheckOutcome:
    return CheckOutcome(passed=False, exit_code=None, reason=reason)


async def _verdicts(
    task: Task, runner: CheckRunner, refusal: CheckVerdict | None, *, whole: bool
) -> AsyncIterator[CheckVerdict]:
    """Yield the verdict of each part of a check; a part that was stopped is the last."""
    check = task.check
    if refusal is not None:
        yield refusal
    if check.command is not None:
        run = await runner.run(check.command)
        reason = _why_failed(check, run, runner.deadline.limit_s)
        yield CheckVerdict(run.exit_code, run.stdout, run.stderr, reason)
        if run.exit_code is None:
            return
    if check.probe is not None:
        yield await run_probe(task, check.probe, runner, whole=whole)


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
