"""What the tests of sweeps share."""

import subprocess
from collections.abc import Generator

import pytest

from tests.adapters.sweeps.processes import process


@pytest.fixture
def demo() -> Generator[str]:
    """The URL of a model server in a process of its own: it outlives whatever a test kills."""
    with process("-m", "cab.proxy.demo", stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        yield server.stdout.readline().split()[4].rstrip(",")
