"""Cells whose agents and checks run in containers of a real engine."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cab.adapters.processes.cleanup import ENGINES
from cab.adapters.runs.spec import CellSpec, checks_image
from cab.adapters.sandboxes.docker import Container
from cab.adapters.sandboxes.limits import parse_limits

IMAGE = os.environ.get("CAB_TEST_CHECKS_IMAGE", checks_image().name)
"""Image with the programs of all tasks; it has Python, which is all that the agents of these tests need."""
REAL_KEY = "sk-real-canary-0123456789"


def not_here(reason: str) -> None:
    """Skip a test, or fail where it must run."""
    if os.environ.get("CI"):
        pytest.fail(f"these tests must run in CI: {reason}")
    pytest.skip(reason)


def said(*words: str) -> str | None:
    """Return what a program prints; None if it fails, or is not there."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout


@pytest.fixture(scope="session")
def engine() -> str:
    """Return an engine that answers and has the image for checks."""
    found = next((name for name in ENGINES if said(name, "info") is not None), None)
    if found is None:
        not_here("no container engine answers; install podman")
    assert found is not None
    if said(found, "image", "inspect", IMAGE) is None:
        not_here(f"there is no image {IMAGE}; make it with: cab images build checks")
    return found


def things(engine: str) -> set[str]:
    """Return the names of the containers and networks of runs, and of all volumes."""
    listings = (
        ("ps", "--all", "--format", "{{.Names}}"),
        ("network", "ls", "--format", "{{.Name}}"),
    )
    names = {name for words in listings for name in (said(engine, *words) or "").split()}
    volumes = (said(engine, "volume", "ls", "--quiet") or "").split()
    return {name for name in names if name.startswith("cab-")} | set(volumes)


@pytest.fixture
def nothing_left(engine: str) -> Iterator[None]:
    """Hold that a test leaves no container, network or volume behind."""
    before = things(engine)
    yield
    assert things(engine) - before == set()


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
