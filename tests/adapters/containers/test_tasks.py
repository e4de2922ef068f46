"""The bundled tasks, checked in containers: beside other tests, as it takes the longest."""

import subprocess
import sys
from pathlib import Path

import pytest

from cab.adapters.tasks.loader import list_tasks
from tests.adapters.containers.conftest import TASKS_CHECK, containers

pytestmark = [
    pytest.mark.containers,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("tasks"),
]


def test_the_bundled_tasks(engine: str) -> None:
    """In containers the reference of each bundled task passes, and nothing else does; no container is left."""
    program = str(Path(sys.executable).with_name("cab"))
    words = (program, *TASKS_CHECK, "--sandbox", "docker", "--engine", engine)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as cab:
        try:
            out, err = cab.communicate()
        finally:  # where the test's time is over, it cleans up
            cab.terminate()

    assert cab.returncode == 0, out + err
    assert sum(line.startswith("ok ") for line in out.splitlines()) == len(list_tasks()), out
    assert not any(f".{cab.pid}." in owner for owner in containers(engine).values())
