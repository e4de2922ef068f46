"""Tasks: what an agent is asked, the workspace it is asked in, and the checks that it cannot see.

A task is a folder:

    task.toml     what this module reads
    workspace/    copied to where the agent works
    checks/       laid over a copy of the agent's workspace after the run, never shown to the agent
    solution/     a reference answer, laid over the workspace: the tests of the suite use it
"""

import importlib.resources
import os
import re
import shutil
import tomllib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from cab.adapters.errors import AdapterError, nearest
from cab.scoring.task import TaskFacts

TASK_FILE = "task.toml"
"""The file that makes a folder a task."""
COMPILED = "__pycache__"
"""What pip makes beside the Python files of an installed task; no part of it."""


class UnknownTask(AdapterError):
    """A name that no task goes by."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(sorted(known))
        self.near = nearest(name, self.known)
        mend = (
            f"did you mean {self.near!r}? (cab tasks list shows all)"
            if self.near is not None
            else f"known tasks: {', '.join(self.known)}; or give a path, ./my/task"
        )
        super().__init__(f"no task {name!r}; {mend}")


class BadTask(AdapterError):
    """A task folder that cannot be used; names the file, the key and the mend."""

    def __init__(self, file: Path, reason: str, key: str | None = None) -> None:
        self.file = file
        self.key = key
        super().__init__(f"{file}: {f'{key}: ' if key else ''}{reason}")


def _check_pattern(pattern: str) -> str:
    path = PurePosixPath(pattern)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise ValueError("a pattern is relative to the workspace; take out the leading / or the ..")
    return pattern


def _check_regex(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from error
    if groups != 1:
        raise ValueError("needs one group, which is the number of tests: 'Ran (\\d+) tests'")
    return pattern


Pattern = Annotated[str, AfterValidator(_check_pattern)]
"""A path pattern, read as `cab.scoring.globs` says."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Need(_Part):
    """A program that the checks call."""

    command: Annotated[str, Field(min_length=1)]
    """Name of the executable, looked up on PATH."""
    get: Annotated[str, Field(min_length=1)]
    """How to get it, as an instruction: "install Rust from ..."."""
    home_folders: dict[str, str] = Field(default_factory=dict[str, str])
    """Environment variable to folder under the home folder, for a tool that keeps itself there."""


class Check(_Part):
    """How the hidden checks are run, and what counts as passed."""

    command: Annotated[list[str], Field(min_length=1)]
    """Program and arguments; `{python}`, `{workspace}` and `{pristine}` stand for paths.

    `{python}` is the Python that runs CAB, `{workspace}` the copy that is checked, `{pristine}` the
    workspace as the agent got it.
    """
    timeout_s: Annotated[float, Field(gt=0)] = 300.0
    """After this the checks are stopped and count as failed."""
    must_print: list[str] = Field(default_factory=list[str])
    """Lines that the output must hold, white space at their ends apart."""
    tests_pattern: Annotated[str, AfterValidator(_check_regex)] | None = None
    """Regular expression whose group is a number of tests that ran; several matches add up."""
    minimum_tests: Annotated[int, Field(ge=1)] | None = None
    """Fewer tests than this is no pass: a suite that ran nothing has shown nothing."""

    @model_validator(mode="after")
    def _counted(self) -> Self:
        if (self.tests_pattern is None) != (self.minimum_tests is None):
            raise ValueError("tests_pattern and minimum_tests come together; add the other one")
        return self


class Task(_Part):
    """A task, as its `task.toml` declares it."""

    task_schema: Literal["cab.task/1"] = Field(alias="schema")
    """Always `cab.task/1` today."""
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*$")]
    """`family/name`, in lower case."""
    category: Annotated[str, Field(min_length=1)]
    """Under which results are listed."""
    prompt: Annotated[str, Field(min_length=1)]
    """What the agent is asked, word for word."""
    needs: list[Need] = Field(default_factory=list[Need])
    """Programs that the checks call besides Python."""
    expected_changes: list[Pattern] = Field(default_factory=list[Pattern])
    """Paths that a right answer adds, changes or removes."""
    source_files: list[Pattern] = Field(default_factory=list[Pattern])
    """The sources: a change there is a fix."""
    protected_files: list[Pattern] = Field(default_factory=list[Pattern])
    """Paths that must stay as they are; they are put back before the checks run."""
    clarify_files: list[Pattern] = Field(default_factory=list[Pattern])
    """Documents in which an agent may ask or decline."""
    scratch_files: list[Pattern] = Field(default_factory=list[Pattern])
    """What building and testing leaves behind; it is dropped before the checks run."""
    expected_refusal: bool = False
    """Whether the right answer is to ask, and to change no source."""
    integrity_applies: bool = False
    """Whether the task is scored for leaving the protected files alone."""
    check: Check
    """The hidden checks."""
    root: Path = Field(exclude=True)
    """The task's folder; known from where the file lies, never written in it."""

    @property
    def workspace(self) -> Path:
        """The folder that the agent gets a copy of."""
        return self.root / "workspace"

    @property
    def checks(self) -> Path:
        """The folder of hidden checks."""
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


def suite_dir() -> Path:
    """Return the folder of the bundled tasks."""
    return Path(str(importlib.resources.files("cab.adapters").joinpath("suite")))


def list_tasks() -> list[Task]:
    """Return the bundled tasks, sorted by id.

    Raises:
        BadTask: One of them cannot be used.
    """
    return sorted((_read(file) for file in _bundled().values()), key=lambda task: task.id)


def load_task(name: str) -> Task:
    """Return a bundled task by its id, or any task by the path of its folder.

    Args:
        name: `family/name`; or a path, which starts with `.`, `~` or `/`.

    Raises:
        UnknownTask: There is no such task.
        BadTask: Its folder cannot be used.
    """
    if name.startswith((".", "~", "/")):
        return _read(Path(name).expanduser() / TASK_FILE)
    known = _bundled()
    if name not in known:
        raise UnknownTask(name, known)
    return _read(known[name])


def missing_needs(task: Task) -> list[str]:
    """Return one line for each program that the checks need and PATH does not hold."""
    return [
        f"task {task.id} needs {need.command}, which is not on PATH; {need.get}"
        for need in task.needs
        if shutil.which(need.command) is None
    ]


def copy_workspace(task: Task, dest: Path) -> None:
    """Copy a task's workspace to where the agent works; files become writable.

    Args:
        task: The task.
        dest: A folder that is empty or does not exist yet.

    Raises:
        FileExistsError: `dest` holds something already.
    """
    dest.mkdir(parents=True, exist_ok=True)
    if any(dest.iterdir()):
        raise FileExistsError(f"{dest} is not empty; give a new folder")
    shutil.copytree(
        task.workspace,
        dest,
        symlinks=True,
        ignore=shutil.ignore_patterns(COMPILED),
        copy_function=copy_file,
        dirs_exist_ok=True,
    )
    for folder in (dest, *(path for path in dest.rglob("*") if path.is_dir())):
        if not folder.is_symlink():
            folder.chmod(0o755)


def copy_file(source: str | os.PathLike[str], dest: str | os.PathLike[str]) -> str:
    """Copy one file with none of its origin's ownership or dates: an install may be read-only."""
    shutil.copyfile(source, dest, follow_symlinks=False)
    if not Path(dest).is_symlink():
        executable = Path(source).stat().st_mode & 0o100
        Path(dest).chmod(0o755 if executable else 0o644)
    return str(dest)


def _bundled() -> dict[str, Path]:
    """Return the task files of the suite by id, which their folders spell."""
    files = suite_dir().glob(f"*/*/{TASK_FILE}")
    return {f"{file.parent.parent.name}/{file.parent.name}": file for file in files}


def _read(file: Path) -> Task:
    # In an editable install the package's files are links into the tree they come from.
    file = file.resolve()
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadTask(file, "is not there; a task is a folder that holds task.toml") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadTask(file, f"cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise BadTask(file, f"is not valid TOML: {error}") from error
    return _validated(file, data)


def _validated(file: Path, data: dict[str, object]) -> Task:
    if "root" in data:
        raise BadTask(file, "is no key of a task; take it out", key="root")
    try:
        task = Task.model_validate({**data, "root": file.parent})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BadTask(file, _reason(first["type"], first["msg"]), key=key or None) from error
    for folder in (task.workspace, task.checks):
        if not folder.is_dir():
            raise BadTask(folder, "is not there; a task has workspace/ and checks/")
    return task


def _reason(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "is no key of a task; take it out or mend its spelling"
    if kind == "missing":
        return "is missing; add it"
    return message.removeprefix("Value error, ")
