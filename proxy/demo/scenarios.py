"""The scenarios: which prompt the demo answers to, and which files it then writes."""

import functools
import tomllib
from collections.abc import Sequence
from importlib import resources
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# A heredoc and a diff can only say whole lines.
WholeLines = Annotated[str, Field(pattern=r"\n$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEdit(_Part):
    """A file that a scenario writes."""

    path: str
    """Where, relative to the workspace."""
    before: WholeLines | None = None
    """The file as the task has it; None for a new file."""
    after: WholeLines
    """The file as the scenario leaves it."""


class Scenario(_Part):
    """What the demo says and does for one task."""

    prompt: str
    """Text by which the scenario is found in what the user says."""
    reads: Annotated[list[str], Field(min_length=1)]
    """Files to look at first."""
    title: str
    """One line, for agents that ask for a name of the conversation."""
    commit: str
    """One line, for agents that ask for a commit message."""
    plan: str
    """The text before the work."""
    closing: str
    """The text after it."""
    files: Annotated[list[FileEdit], Field(min_length=1)]
    """What is written, in order."""


@functools.cache
def load_scenarios() -> tuple[Scenario, ...]:
    """Return the bundled scenarios."""
    folder = resources.files("cab.proxy.demo").joinpath("scenarios")
    files = (entry for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return tuple(
        Scenario.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
        for file in sorted(files, key=lambda entry: entry.name)
    )


def find_scenario(texts: Sequence[str]) -> Scenario | None:
    """Return the scenario whose prompt is in one of the texts, the last one first.

    White space may differ. A scenario's plan does as well as its prompt: an agent may hand one
    model's plan to a second one without the prompt.
    """
    for text in reversed(texts):
        flat = " ".join(text.split())
        for scenario in load_scenarios():
            if scenario.prompt in flat or scenario.plan in flat:
                return scenario
    return None
