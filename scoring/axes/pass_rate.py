"""Axis `pass_rate`: whether the task's own hidden check passed."""

from typing import Literal

from pydantic import Field

from cab.scoring.evidence.check_outcome import CheckOutcome
from cab.scoring.files import FileModel


class PassRate(FileModel):
    """The published keys, and `reason`."""

    passed: Literal[0, 1] | None = Field(validation_alias="pass", serialization_alias="pass")
    """1 or 0; None if the check could not run, which says nothing about the agent."""
    exit_code: int | None
    """Exit code of the check."""
    timed_out: bool | None
    """Whether the check was stopped at its time limit; None if nobody said."""
    stdout_tail: str | None
    """Last part of what the check printed; None if it was not kept."""
    stderr_tail: str | None
    """Last part of what the check printed as errors; None if it was not kept."""
    partial_score: float | None = None
    """Share of the check that passed, where the check reports one."""
    reason: str | None = None
    """Why the check could not run, or why it counts as failed; of a cell of another harness, what
    its file says."""


def score_pass_rate(check: CheckOutcome) -> PassRate:
    """Return the axis from what the check left behind."""
    return PassRate(
        passed=_verdict(check),
        exit_code=check.exit_code,
        timed_out=check.timed_out,
        stdout_tail=check.stdout_tail,
        stderr_tail=check.stderr_tail,
        partial_score=check.partial_score,
        reason=check.reason,
    )


def _verdict(check: CheckOutcome) -> Literal[0, 1] | None:
    if not check.ran:
        return None
    return 1 if check.passed else 0
