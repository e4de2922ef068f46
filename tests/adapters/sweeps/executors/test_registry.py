"""Executors that other packages bring: really installed ones, in a process that finds them."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.adapters.light_task import light_task
from tests.tools.commands import run_command
from tests.tools.wheel import install_package

EXECUTOR = """
from cab.adapters import CellOutcome, ExecutorContext
from cab.adapters.sweeps.executors.local import LocalExecutor


class Noting(LocalExecutor):
    def __init__(self, file):
        super().__init__()
        self._file = file

    async def run(self, job):
        with open(self._file, "a") as notes:
            notes.write(job.cell_id + "\\n")
        return await super().run(job)


def make(context):
    assert isinstance(context, ExecutorContext)
    return Noting(context.table.settings["file"])


def incomplete(context):
    return object()


def failing(context):
    raise ValueError("no luck")


number = 7
"""
TASK = "polyglot/python-error-handling"


def sweep(folder: Path, kind: str) -> "subprocess.CompletedProcess[str]":
    """Run a sweep with an executor, where a package brings some."""
    points = {
        "noting": "mine:make", "incomplete": "mine:incomplete", "failing": "mine:failing",
        "number": "mine:number", "missing": "mine:nothing", "slurm": "mine:make",
    }  # fmt: skip
    install_package(folder / "site", "mine-pkg", {"mine": EXECUTOR}, {"cab.executors": points})
    (folder / "sweep.toml").write_text(
        f'name = "s"\nupstream = "demo"\nmodels = ["demo"]\nagents = ["scripted"]\ntasks = ["{light_task()}"]\n'
        f'[executor]\nkind = "{kind}"\nsettings = {{file = "notes"}}\n'
    )
    kept = {name: text for name, text in os.environ.items() if not name.startswith("CAB_")}
    env = {**kept, "PYTHONPATH": str(folder / "site")}
    return run_command("cab", "sweep", "sweep.toml", cwd=folder, env=env)


def test_used_by_its_name(tmp_path: Path) -> None:
    """It gets the table `settings`, and runs the cells."""
    done = sweep(tmp_path, "noting")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "notes").read_text() == f"s/scripted/demo/{TASK}#run1\n"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("incomplete", "executor 'incomplete' lacks run, cancel, stop, end_left"),
        ("failing", "executor 'failing' cannot be made: ValueError: no luck"),
        ("number", "executor 'number' (mine:number) is not a function of an ExecutorContext"),
        ("missing", "executor 'missing' (mine:nothing) cannot be imported: AttributeError"),
        ("slrum", "executor.kind: no executor 'slrum'; did you mean 'slurm'?"),
    ],
)
def test_faults(tmp_path: Path, kind: str, said: str) -> None:
    """Each is one line, before anything is run."""
    done = sweep(tmp_path, kind)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
