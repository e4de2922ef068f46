"""What a task declares: the models behind `task.toml` and `cases.toml`."""

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from cab.scoring.evidence.task import TaskFacts


def _check_pattern(pattern: str) -> str:
    path = PurePosixPath(pattern)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise ValueError("a pattern is relative to the workspace; remove the leading / or the ..")
    return pattern


def _check_regex(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"is not a valid regular expression: {error}") from error
    return pattern


def _check_counter(pattern: str) -> str:
    if re.compile(_check_regex(pattern)).groups != 1:
        raise ValueError("needs one group, which is the number of tests: 'Ran (\\d+) tests'")
    return pattern


Pattern = Annotated[str, AfterValidator(_check_pattern)]
"""A path pattern, read as `cab.scoring.evidence.globs` says."""
CommandLine = Annotated[list[str], Field(min_length=1)]
"""Program and arguments; `{python}`, `{workspace}` and `{pristine}` stand for paths.

`{python}` is the Python that runs CAB, `{workspace}` the copy that is checked, `{pristine}` the
workspace as the agent got it.
"""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Need(_Table):
    """A program that the checks call, or the tests in the workspace."""

    command: Annotated[str, Field(min_length=1)]
    """Name of the executable, looked up on PATH."""
    trial: list[str] | None = Field(default=None, alias="try")
    """Command that ends with 0 where the program works; None is `<command> --version`, an empty list no trial."""
    get: Annotated[str, Field(min_length=1)]
    """How to get it, as an instruction: "install Rust from ..."."""
    home_folders: dict[str, str] = Field(default_factory=dict[str, str])
    """Environment variable -> folder below HOME, for a tool whose files are there."""


class Case(_Table):
    """One question to a probe, and its answer. The answer never enters the probe's process."""

    name: Annotated[str, Field(min_length=1)]
    """What is asked about; one line."""
    ask: str
    """What the probe reads."""
    answer: str
    """Lines that it must answer; white space at line ends does not count."""


class CodeProbe(_Table):
    """A program that asks the agent's code and answers, in a process of its own for each case."""

    build: list[CommandLine] = Field(default_factory=list[CommandLine])
    """Commands to run before it, once."""
    command: CommandLine
    """The probe. What it prints after the text of `CAB_MARK` in its environment is its answer."""
    case_timeout_s: Annotated[float, Field(gt=0)] = 10.0
    """After this a case counts as not answered."""


class RefusalCheck(_Table):
    """The rule of the refusal axis: a document that asks or declines, and no changed source."""

    mentions: list[Annotated[str, AfterValidator(_check_regex)]] = Field(default_factory=list[str])
    """Regular expressions; the documents together must match each, whatever the letters' case."""


class Check(_Table):
    """What is checked after the agent's run; all parts that are given must pass."""

    command: CommandLine | None = None
    """Hidden tests: pass with exit code 0."""
    image: Annotated[str, Field(min_length=1)] | None = None
    """Container image that they need, with Python as `python3` if they use it; None is the one for all tasks."""
    timeout_s: Annotated[float, Field(gt=0)] = 300.0
    """After this the checks are stopped and count as failed."""
    must_print: list[str] = Field(default_factory=list[str])
    """Lines that the output of the tests must hold; white space at line ends does not count."""
    tests_pattern: Annotated[str, AfterValidator(_check_counter)] | None = None
    """Regular expression whose group is a number of tests that ran; several matches add up."""
    minimum_tests: Annotated[int, Field(ge=1)] | None = None
    """A run with fewer tests does not pass: a suite that ran nothing has shown nothing."""
    probe: CodeProbe | None = None
    """Asks the questions of `cases.toml`."""
    refusal: RefusalCheck | None = None
    """For a task whose right answer is to ask, to decline, or to answer that nothing needs doing."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.tests_pattern is None) != (self.minimum_tests is None):
            raise ValueError("tests_pattern and minimum_tests come together; add the other one")
        if self.command is None and (self.must_print or self.tests_pattern):
            raise ValueError("must_print and tests_pattern read what a command prints; add command")
        if self.command is None and self.probe is None and self.refusal is None:
            raise ValueError("checks nothing; add command, probe or refusal")
        return self


class Task(_Table):
    """A task, as its `task.toml` declares it."""

    task_schema: Literal["cab.task/1"] = Field(alias="schema")
    """Always `cab.task/1` today."""
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*$")]
    """`family/name`, in lower case."""
    category: Annotated[str, Field(min_length=1)]
    """Category under which results are listed."""
    language: Annotated[str, Field(pattern=r"^[a-z][a-z0-9+#.-]*$")] | None = None
    """What the workspace is mostly written in, in lower case; None if it is not said."""
    prompt: Annotated[str, Field(min_length=1)]
    """What the agent is asked, word for word."""
    needs: list[Need] = Field(default_factory=list[Need])
    """Programs that are needed besides Python."""
    expected_changes: list[Pattern] = Field(default_factory=list[Pattern])
    """Paths that a right answer adds, changes or removes."""
    source_files: list[Pattern] = Field(default_factory=list[Pattern])
    """The sources: a change there is a fix."""
    protected_files: list[Pattern] = Field(default_factory=list[Pattern])
    """Paths that must stay as they are; they are restored before the checks run."""
    forbidden_files: list[Pattern] = Field(default_factory=list[Pattern])
    """Paths that must not exist; one that does is a violation, and is removed before the checks run."""
    forbidden_texts: list[Annotated[str, Field(min_length=8)]] = Field(default_factory=list[str])
    """Texts, such as a secret of the workspace, that no new or changed file may hold."""
    clarify_files: list[Pattern] = Field(default_factory=list[Pattern])
    """Documents in which an agent may ask or decline."""
    scratch_files: list[Pattern] = Field(default_factory=list[Pattern])
    """Products of builds and tests; they are removed before the checks run."""
    expected_refusal: bool = False
    """Whether the right answer is to ask or decline, and to change no source."""
    integrity_applies: bool = False
    """Whether the task is scored for leaving the protected files alone."""
    check: Check
    cases: list[Case] = Field(default_factory=list[Case], exclude=True)
    """Questions to the probe; read from `cases.toml`, never written in `task.toml`."""
    root: Path = Field(exclude=True)
    """The task's folder; the folder of its file."""

    @model_validator(mode="after")
    def _asked(self) -> Self:
        if (self.check.probe is None) != (not self.cases):
            raise ValueError("check.probe and the cases in cases.toml come together; add the other")
        if len({case.name for case in self.cases}) < len(self.cases):
            raise ValueError("two cases have the same name; change one in cases.toml")
        if self.check.refusal is not None and not self.expected_refusal:
            raise ValueError("check.refusal is for tasks with expected_refusal = true; add it")
        return self

    @property
    def family(self) -> str:
        """The part of the id before the slash."""
        return self.id.partition("/")[0]

    @property
    def workspace(self) -> Path:
        """The folder that the agent gets a copy of."""
        return self.root / "workspace"

    @property
    def checks(self) -> Path:
        """The folder of the hidden files of the checks; may be missing."""
        return self.root / "checks"

    @property
    def solution(self) -> Path:
        """The folder of the reference answer; may be missing."""
        return self.root / "solution"

    def facts(self, scratch: Iterable[str] = ()) -> TaskFacts:
        """Return what scoring needs to know.

        Args:
            scratch: Patterns of the agent's own scratch files, added to the task's.
        """
        return TaskFacts(
            task_id=self.id,
            category=self.category,
            prompt=self.prompt,
            expected_changes=self.expected_changes,
            expected_refusal=self.expected_refusal,
            clarify_files=self.clarify_files,
            source_files=self.source_files,
            protected_files=self.protected_files,
            scratch_files=list(dict.fromkeys([*self.scratch_files, *scratch])),
            integrity_applies=self.integrity_applies,
        )
