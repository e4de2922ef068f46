"""Cells whose agents and checks run in containers of a real engine."""

from pathlib import Path

import pytest

from cab.adapters.runs.spec import CellSpec
from cab.adapters.sandboxes.docker import Container
from cab.adapters.sandboxes.limits import parse_limits
from tests.tools.containers import CHECKS

IMAGE = CHECKS
"""It has Python, which is all that the agents of these tests need, and cab, whose answers they look for."""
REAL_KEY = "sk-real-canary-0123456789"


TASK = """\
schema = "cab.task/1"
id = "test/quick"
category = "test"
prompt = "Write right into answer.txt"
expected_changes = ["answer.txt"]

[check]
command = ["{python}", "check.py"]
timeout_s = 30
"""
CHECK = """\
from pathlib import Path
raise SystemExit(Path("answer.txt").read_text() != "right")
"""


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """Return a task whose check is one short command."""
    folder = tmp_path / "quick"
    for name, text in {
        "task.toml": TASK,
        "checks/check.py": CHECK,
        "workspace/answer.txt": "wrong",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def spec(engine: str, tmp_path: Path) -> CellSpec:
    """Return a cell on the built-in model server, its agent and its checks in containers."""
    return CellSpec(
        tui="scripted",
        model="demo",
        task="polyglot/python-error-handling",
        upstream="demo",
        upstream_key=REAL_KEY,
        runs=tmp_path / "runs",
        sandbox="docker",
        container=Container(image=IMAGE, checks_image=IMAGE, engine=engine),
        limits=parse_limits(["memory=256m", "processes=64", "disk=64m", "cpus=2"]),
    )
