"""What the tests of sweeps share."""

from collections.abc import Generator
from subprocess import PIPE

import pytest

from tests.adapters.sweeps.processes import environment
from tests.tools.commands import start_command


@pytest.fixture
def demo() -> Generator[str]:
    """The URL of a model server in a process of its own: it outlives whatever a test kills."""
    with start_command("demo", env=environment(), stdout=PIPE) as server:
        assert server.stdout is not None
        yield server.stdout.readline().split()[4].rstrip(",")
