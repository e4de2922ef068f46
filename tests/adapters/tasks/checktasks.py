"""Tasks made on the spot, and workspaces as an agent leaves them behind, for the tests of checks."""

from pathlib import Path
from typing import Any

from cab.adapters.tasks.loader import Case, Check, CodeProbe, Task, copy_workspace, lay_solution


def give(task: Task, folder: Path, *, solved: bool = False) -> Path:
    """Make the workspace that an agent leaves behind, solved or untouched."""
    copy_workspace(task, folder)
    if solved:
        lay_solution(task, folder)
    return folder


def with_cases(task: Task, *picked: int) -> Task:
    """Leave only some questions: each is two processes, most of what a check costs."""
    return task.model_copy(update={"cases": [task.cases[number] for number in picked]})


def write(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def scripted(
    folder: Path, script: str, *, given: dict[str, str] | None = None, **more: Any
) -> Task:
    """A task whose hidden check is a Python script."""
    write(folder, {"checks/check.py": script, "task.toml": ""})
    write(folder / "workspace", given or {})
    (folder / "workspace").mkdir(exist_ok=True)
    check = more.pop("check", {})
    return Task(
        schema="cab.task/1",
        id="test/scripted",
        category="test",
        prompt="Pass.",
        root=folder,
        check=Check(command=["{python}", "-B", "check.py"], **check),
        **more,
    )


def probed(folder: Path, script: str, cases: list[Case], **more: Any) -> Task:
    """A task whose probe is a Python script that runs beside the agent's files."""
    write(folder, {"checks/probe.py": script, "task.toml": ""})
    (folder / "workspace").mkdir(exist_ok=True)
    probe = more.pop("probe", {})
    check = more.pop("check", {})
    command = ["{python}", "-B", "probe.py"]
    return Task(
        schema="cab.task/1",
        id="test/probed",
        category="test",
        prompt="Answer.",
        root=folder,
        check=Check(probe=CodeProbe(command=command, **probe), **check),
        cases=cases,
        **more,
    )
