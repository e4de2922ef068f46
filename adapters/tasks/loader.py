"""Tasks: what an agent is asked, the workspace it is asked in, and the checks that it cannot see.

A task is a folder:

    task.toml     the declaration; `cab.adapters.tasks.models` has its keys
    workspace/    copied to where the agent works
    checks/       copied over a copy of the agent's workspace after the run, never shown to the agent
    cases.toml    questions to a probe in checks/, and the expected answers; never copied anywhere
    solution/     a reference answer, copied over the workspace: `cab tasks check` uses it
"""

import importlib.resources
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from cab.adapters.errors import AdapterError, nearest
from cab.adapters.tasks.models import Case, Check, CodeProbe, Need, RefusalCheck, Task
from cab.adapters.toml_file import BadFile, first_problem, read_toml

__all__ = [
    "COMPILED",
    "TASK_FILE",
    "BadTask",
    "Case",
    "Check",
    "CodeProbe",
    "Need",
    "RefusalCheck",
    "Task",
    "UnknownTask",
    "copy_file",
    "copy_workspace",
    "lay_solution",
    "list_tasks",
    "load_task",
    "suite_dir",
]

TASK_FILE = "task.toml"
"""The file that makes a folder a task."""
CASES_FILE = "cases.toml"
"""The file beside it that holds the questions to a probe."""
COMPILED = "__pycache__"
"""Byte code that pip writes beside the Python files of an installed task; not part of it."""


class UnknownTask(AdapterError):
    """A name that no task has."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(sorted(known))
        self.near = nearest(name, self.known)
        fix = (
            f"did you mean {self.near!r}? (cab tasks list shows all)"
            if self.near is not None
            else f"known tasks: {', '.join(self.known)}; or give a path, ./my/task"
        )
        super().__init__(f"no task {name!r}; {fix}")


class BadTask(BadFile):
    """A task folder that cannot be used; names the file, the key and the fix."""


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


def lay_solution(task: Task, workdir: Path) -> None:
    """Copy a task's reference answer over a workspace.

    Raises:
        BadTask: The task has none.
    """
    if not task.solution.is_dir():
        raise BadTask(task.solution, "does not exist; add the files that solve the task")
    shutil.copytree(
        task.solution,
        workdir,
        ignore=shutil.ignore_patterns(COMPILED),
        copy_function=copy_file,
        dirs_exist_ok=True,
    )


def copy_file(source: str | os.PathLike[str], dest: str | os.PathLike[str]) -> str:
    """Copy one file without its ownership, dates and write protection: an install may be read-only."""
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
        data = read_toml(file, BadTask)
    except FileNotFoundError as error:
        raise BadTask(file, "does not exist; a task is a folder with a task.toml") from error
    for key in ("root", "cases"):
        if key in data:
            raise BadTask(file, "is not a key of a task; remove it", key=key)
    try:
        task = Task.model_validate({**data, "root": file.parent, "cases": _cases(file.parent)})
    except ValidationError as error:
        known = [*Task.model_fields, *(f"check.{key}" for key in Check.model_fields)]
        key, reason = first_problem(error, "a task", known)
        in_cases = key.startswith("cases.")
        raise BadTask(file.with_name(CASES_FILE) if in_cases else file, reason, key) from error
    if not task.workspace.is_dir():
        raise BadTask(task.workspace, "does not exist; a task needs a workspace/")
    if not task.checks.is_dir() and (task.check.command or task.check.probe):
        raise BadTask(task.checks, "does not exist; a command or a probe needs its files there")
    return task


def _cases(root: Path) -> object:
    file = root / CASES_FILE
    try:
        data = read_toml(file, BadTask)
    except FileNotFoundError:
        return []
    if data.keys() != {"cases"} or not data["cases"]:
        raise BadTask(file, "must hold [[cases]], one or more, and nothing else")
    return data["cases"]
