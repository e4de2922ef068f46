"""Asks the agent's code the questions of `cases.toml`, and compares the answers outside its process."""

import secrets
from typing import NamedTuple

from cab.adapters.tasks.check_process import CheckDeadline, CheckRunner, CheckVerdict, CommandResult
from cab.adapters.tasks.loader import Case, CodeProbe, Task

MARK = "CAB_MARK"
"""Environment variable with the text that starts each line of an answer; other output is ignored."""
SHOWN_CHARS = 200
"""How much of a wrong answer is shown."""


async def run_probe(
    task: Task, probe: CodeProbe, runner: CheckRunner, *, whole: bool = True
) -> CheckVerdict:
    """Return how a task's cases were answered.

    Args:
        task: The task, with its cases.
        probe: How to ask.
        runner: Runs commands, until its time is over.
        whole: Go on after a wrong answer.

    Raises:
        NotStarted: The probe, or what builds it, cannot be started.
        RunFailed: It cannot be ended.
    """
    deadline = runner.deadline
    for command in probe.build:
        run = await runner.run(command)
        if run.exit_code != 0:
            return _not_built(command, run, deadline)
    answered = list[_CaseResult]()
    for case in task.cases:
        limit_s = min(probe.case_timeout_s, deadline.left_s())
        # A new mark for each case: what one process has learnt does not help the next.
        mark = secrets.token_hex(8)
        run = await runner.run(probe.command, {MARK: mark}, limit_s, case.ask)
        answered.append(_CaseResult(case.name, run, _why_wrong(case, run, mark, limit_s)))
        if run.exit_code is None and not deadline.left_s():
            return _stopped(answered, deadline)
        if not whole and answered[-1].why is not None:
            break
    return _verdict(answered, len(task.cases))


class _CaseResult(NamedTuple):
    name: str
    run: CommandResult
    why: str | None
    """Why the answer is wrong; None if it is right."""

    def __str__(self) -> str:
        return f"ok: {self.name}\n" if self.why is None else f"not ok: {self.name}: {self.why}\n"


def _stopped(answered: list[_CaseResult], deadline: CheckDeadline) -> CheckVerdict:
    report = "".join(map(str, answered))
    return CheckVerdict(
        None, report, answered[-1].run.stderr, f"stopped after {deadline.limit_s:g} s"
    )


def _not_built(command: list[str], run: CommandResult, deadline: CheckDeadline) -> CheckVerdict:
    if run.exit_code is None:
        reason = f"stopped after {deadline.limit_s:g} s"
    else:
        reason = f"{' '.join(command)!r} ended with exit code {run.exit_code}"
    return CheckVerdict(run.exit_code, run.stdout, run.stderr, reason, 0.0)


def _why_wrong(case: Case, run: CommandResult, mark: str, limit_s: float) -> str | None:
    if run.exit_code is None:
        return f"did not end within {limit_s:g} s"
    given = _answer(run.stdout, mark)
    expected = [line.rstrip() for line in case.answer.splitlines()]
    if run.exit_code == 0 and given == expected:
        return None
    if not given:
        return f"no answer, exit code {run.exit_code}"
    shown = "\n".join(given)[:SHOWN_CHARS]
    return f"answered {shown!r}" + (f", exit code {run.exit_code}" if run.exit_code else "")


def _answer(output: str, mark: str) -> list[str]:
    marked = (line.partition(mark) for line in output.split("\n"))
    return [rest.removeprefix(" ").rstrip() for _, found, rest in marked if found]


def _verdict(answered: list[_CaseResult], asked: int) -> CheckVerdict:
    report = "".join(map(str, answered))
    wrong = [each for each in answered if each.why is not None]
    if not wrong:
        return CheckVerdict(0, report, "", None, 1.0)
    share = (asked - len(wrong)) / asked if len(answered) == asked else None
    first = wrong[0]
    reason = f"{len(wrong)} of {asked} questions were answered wrong; {first.name}: {first.why}"
    return CheckVerdict(1, report, first.run.stderr, reason, share)
