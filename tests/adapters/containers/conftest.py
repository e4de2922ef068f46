"""The engine of all tests in real containers, and what of runs it has."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cab.adapters.sandboxes.leftovers import OWNER_LABEL
from tests.tools.containers import CHECKS, find_engine_program, not_here, require_image

TASKS_CHECK = ("tasks", "check")
_OWNER = {
    "podman": f'{{{{index .Labels "{OWNER_LABEL}"}}}}',
    "docker": f'{{{{.Label "{OWNER_LABEL}"}}}}',
}


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


def containers(engine: str) -> dict[str, str]:
    """Return the names of all containers, and what says who made them."""
    listing = said(engine, "ps", "--all", "--format", f"{{{{.Names}}}} {_OWNER[engine]}")
    assert listing is not None
    return {
        name: owner for name, _, owner in (line.partition(" ") for line in listing.splitlines())
    }


def things(engine: str) -> set[str]:
    """Return the names of the containers and networks of runs, and of all volumes."""
    names = {name for name, owner in containers(engine).items() if not _checks_tasks(owner)}
    names |= set((said(engine, "network", "ls", "--format", "{{.Name}}") or "").split())
    volumes = (said(engine, "volume", "ls", "--quiet") or "").split()
    return {name for name in names if name.startswith("cab-")} | set(volumes)


def _checks_tasks(owner: str) -> bool:
    """Return whether a living `cab tasks check` owns a container: that test runs beside the others."""
    pid = owner.rpartition(".")[0].rpartition(".")[2]
    try:
        words = Path("/proc", pid or "none", "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return {word.encode() for word in TASKS_CHECK} <= set(words)


@pytest.fixture
def nothing_left(engine: str) -> Iterator[None]:
    """Hold that a test leaves no container, network or volume behind."""
    before = things(engine)
    yield
    left = things(engine) - before
    # Twice: what a `cab tasks check` was just removing was its own, although it has ended since.
    assert left & things(engine) == set()
