"""What all tests share."""

from collections.abc import Generator

import pytest
from hypothesis import settings

from tests.tools.logs import reset_logs

# No example has a time limit: machines are slow at times, and no test asserts absolute times.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def own_logs() -> Generator[None]:
    """Give the log and the crash hook back as they were: commands that run in this process set them up."""
    yield
    reset_logs()
