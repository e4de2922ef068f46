"""What a task's hidden check left behind: facts, not yet a score."""

from typing import Any, Self

from pydantic import SerializerFunctionWrapHandler, model_serializer, model_validator

from cab.scoring.files import FileModel


class CheckOutcome(FileModel):
    """The end of one run of the check."""

    passed: bool
    """The check's verdict; false if it could not run."""
    exit_code: int | None
    """None if it was stopped, or never started."""
    timed_out: bool = False
    """Whether it was stopped at its time limit."""
    stdout_tail: str = ""
    """Last part of its output."""
    stderr_tail: str = ""
    """Last part of its errors."""
    partial_score: float | None = None
    """Share of the check that passed, where it reports one."""
    reason: str | None = None
    """Why it could not run, or why it counts as failed."""
    violations: list[str] | None = None
    """What the check itself found tampered with; None where it does not look."""

    spoiled: bool = False
    """Whether the agent itself made the check impossible, so that it counts as failed."""

    @property
    def ran(self) -> bool:
        """Whether its verdict says something about the agent: the check ran, or the agent prevented it."""
        return self.passed or self.timed_out or self.spoiled or self.exit_code is not None

    @model_serializer(mode="wrap")
    def _without_the_unsaid(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Bundles from before this field must give the same bytes when they are scored again.
        data: dict[str, Any] = dump(self)
        if not self.spoiled:
            data.pop("spoiled", None)
        return data

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.passed and (self.timed_out or self.spoiled or self.exit_code is None):
            raise ValueError("a check that did not end cannot have passed")
        return self
