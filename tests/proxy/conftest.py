from collections.abc import Iterator
from contextlib import closing

import pytest

from cab.proxy.accounting.shared_memory import SharedMemory


@pytest.fixture
def memory() -> Iterator[SharedMemory]:
    """Memory of a server's own: a place says for ever which generations it has had."""
    with closing(SharedMemory.create()) as memory:
        yield memory
