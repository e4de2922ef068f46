"""The engine of all tests in real containers, and what of runs it has."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.tools.containers import CHECKS, find_engine_program, not_here, require_image


def said(*words: str) -> str | None:
    """Return what a program prints; None if it fails, or is not there."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout


@pytest.fixture(scope="session")
def engine() -> str:
    """Return an engine that answers and has the image of the checks, with the code of this tree."""
    found = find_engine_program()
    if found is None:
        not_here("no container engine answers; install podman")
    assert found is not None
    require_image(found, CHECKS)
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
