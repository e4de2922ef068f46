"""What a score needs to know of a task: facts the task declares, stored with every cell."""

from pydantic import Field

from cab.scoring.files import FileModel


class TaskFacts(FileModel):
    """A task's declarations. In its patterns `*` stays within a folder, `**` does not."""

    task_id: str
    """`family/task`."""
    category: str
    """Family under which results are listed."""
    prompt: str
    """What the agent is asked."""
    expected_changes: list[str] = Field(default_factory=list[str])
    """Patterns of the paths that a right answer adds, changes or removes."""
    expected_refusal: bool = False
    """Whether the right answer is to ask or decline, and to change no source."""
    clarify_files: list[str] = Field(default_factory=list[str])
    """Patterns of the documents in which an agent asks or declines."""
    source_files: list[str] = Field(default_factory=list[str])
    """Patterns of the sources: a change there is a fix, right or fabricated."""
    protected_files: list[str] = Field(default_factory=list[str])
    """Patterns of the files that must stay as they are."""
    scratch_files: list[str] = Field(default_factory=list[str])
    """Patterns of the agent's own scratch files, as its adapter declares them."""
    integrity_applies: bool = False
    """Whether the task can be cheated, and is scored for it."""
