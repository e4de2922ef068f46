"""Programs that a task needs are tried, not only looked up."""

from pathlib import Path

import pytest

from cab.adapters.tasks.loader import list_tasks, load_task
from cab.adapters.tasks.models import Need
from cab.adapters.tasks.needs import missing_needs, need_problem, need_state

RUST = "polyglot/rust-error-handling"


def program(folder: Path, name: str, script: str = "") -> None:
    """Put a shell script on a search path."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of the search path."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("path")
def test_missing_programs_are_named() -> None:
    """A program that PATH does not hold is one line with its name and how to get it."""
    lines = missing_needs(load_task(RUST))
    assert len(lines) == 2
    assert lines[0].startswith(
        f"task {RUST} needs cargo, which is not on PATH; install Rust from https://rustup.rs"
    )
    assert "needs cc," in lines[1]


def test_present_programs_are_not_missed(path: Path) -> None:
    """A program that works is not missed, and the Python tasks need none."""
    for name in ("cargo", "cc", "make", "node"):
        program(path, name)
    assert [missing_needs(task) for task in list_tasks()] == [[] for _ in list_tasks()]
    assert all(task.needs == [] for task in list_tasks() if task.language == "python")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo; echo 'no default toolchain' >&2; echo 'try x' >&2; exit 1", "no default toolchain"),
        ("exit 3", "exit code 3"),
    ],
)
def test_a_program_that_does_not_work(path: Path, script: str, said: str) -> None:
    """One that is there and fails is a need that is not met, with what it says."""
    program(path, "cargo", script)
    program(path, "cc")
    (line,) = missing_needs(load_task(RUST))
    assert f"needs cargo, which does not work here (cargo --version: {said}); install" in line


def test_how_a_program_is_tried(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task may say how; it runs in a HOME of its own, without the user's variables."""
    monkeypatch.setenv("SECRET", "x")
    program(path, "tool", '[ "$1" = works ] && [ -z "$SECRET" ] && [ "$HOME" != "$PWD/.." ]')
    need = Need.model_validate({"command": "tool", "get": "get it"})
    assert need_state(need) == "BROKEN"
    assert need_state(Need.model_validate({**need.model_dump(by_alias=True), "try": []})) == "ok"
    tried = Need.model_validate({"command": "tool", "get": "get it", "try": ["tool", "works"]})
    assert need_problem(tried) is None
