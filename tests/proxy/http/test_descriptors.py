import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from cab.proxy.errors import BadConfig
from cab.proxy.http.descriptors import connection_room


@pytest.fixture(name="limit")
def limit_fixture() -> Iterator[int]:
    """Let this process open so many files, and after the test as many as before."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = len(list(Path("/dev/fd").iterdir())) + 300
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    yield limit
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_connections_leave_a_reserve(limit: int) -> None:
    """Each may need a descriptor to the endpoint too; what else the process opens has its own."""
    room = connection_room(None, 2)
    assert room.connections > 0
    assert 2 * room.connections + room.backlog + 64 <= 300
    assert connection_room(None, 3).connections < room.connections
    assert connection_room(5, 2).connections == 5
    assert room.backlog <= limit // 8


def test_more_than_the_descriptors_allow_is_a_fault_of_the_settings(limit: int) -> None:
    """The error says how many there can be, and what to do."""
    most = connection_room(None, 2).connections
    message = f"max_connections is 5000, and the limit of open files, {limit}, allows {most}; "
    with pytest.raises(BadConfig, match=message + "lower it, or raise"):
        connection_room(5000, 2)
