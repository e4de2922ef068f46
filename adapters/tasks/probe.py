"""Asks the agent's code what `cases.toml` asks, and judges the answers where its code does not run."""

import secrets
from pathlib import Path
from typing import NamedTuple

from cab.adapters.tasks.check_process import CommandResult, run_command
from cab.adapters.tasks.loader import Case, CodeProbe, Task
from cab.adapters.tasks.staging import environment, words
from cab.adapters.tasks.verdict import CheckVerdict, Deadline

MARK = "CAB_MARK"
"""Environment variable whose text stands before each line of an answer: other output is no answer."""
SHOWN_CHARS = 200
"""As much of a wrong answer as is shown."""


async def run_probe(
    task: Task, probe: CodeProbe, stage: Path, deadline: Deadline, *, whole: bool = True
) -> CheckVerdict:
    """Return how a task's cases were answered.

    Args:
        task: The task, with its cases.
        probe: How to ask.
        stage: The folder that was laid out.
        deadline: When all must be done.
        whole: Go on after a wrong answer.

    Raises:
        OSError: The probe, or what builds it, cannot be started.
    """
    folder, variables = stage / "workspace", environment(task, stage)
    for command in probe.build:
        run = await run_command(words(command, stage), folder, variables, deadline.left_s())
        if run.exit_code != 0:
            return _not_built(command, run, deadline)
    argv, answered = words(probe.command, stage), list[_Answered]()
    for case in task.cases:
        limit_s = min(probe.case_timeout_s, deadline.left_s())
        # A mark of its own for each case: nothing learnt in one helps in the next.
        mark = secrets.token_hex(8)
        run = await run_command(argv, folder, {**variables, MARK: mark}, limit_s, case.ask)
        answered.append(_Answered(case.name, run, _why_wrong(case, run, mark, limit_s)))
        if run.exit_code is None and not deadline.left_s():
            return _stopped(answered, deadline)
        if not whole and answered[-1].why is not None:
            break
    return _judged(answered, len(task.cases))


class _Answered(NamedTuple):
    """How a case went."""

    name: str
    run: CommandResult
    why: str | None
    """Why the answer is wrong; None if it is right."""

    def __str__(self) -> str:
        return f"ok: {self.name}\n" if self.why is None else f"not ok: {self.name}: {self.why}\n"


def _stopped(answered: list[_Answered], deadline: Deadline) -> CheckVerdict:
    said = "".join(map(str, answered))
    return CheckVerdict(
        None, said, answered[-1].run.stderr, f"stopped after {deadline.limit_s:g} s"
    )


def _not_built(command: list[str], run: CommandResult, deadline: Deadline) -> CheckVerdict:
    if run.exit_code is None:
        reason = f"stopped after {deadline.limit_s:g} s"
    else:
        reason = f"{' '.join(command)!r} ended with exit code {run.exit_code}"
    return CheckVerdict(run.exit_code, run.stdout, run.stderr, reason, 0.0)


def _why_wrong(case: Case, run: CommandResult, mark: str, limit_s: float) -> str | None:
    if run.exit_code is None:
        return f"no end within {limit_s:g} s"
    given, due = _answer(run.stdout, mark), [line.rstrip() for line in case.answer.splitlines()]
    if run.exit_code == 0 and given == due:
        return None
    if not given:
        return f"no answer, exit code {run.exit_code}"
    told = "\n".join(given)[:SHOWN_CHARS]
    return f"answered {told!r}" + (f", exit code {run.exit_code}" if run.exit_code else "")


def _answer(output: str, mark: str) -> list[str]:
    marked = (line.partition(mark) for line in output.split("\n"))
    return [rest.removeprefix(" ").rstrip() for _, found, rest in marked if found]


def _judged(answered: list[_Answered], asked: int) -> CheckVerdict:
    said, wrong = "".join(map(str, answered)), [each for each in answered if each.why is not None]
    if not wrong:
        return CheckVerdict(0, said, "", None, 1.0)
    share = (asked - len(wrong)) / asked if len(answered) == asked else None
    first = wrong[0]
    reason = f"{len(wrong)} of {asked} questions were answered wrong; {first.name}: {first.why}"
    return CheckVerdict(1, said, first.run.stderr, reason, share)
