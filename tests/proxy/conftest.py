"""Tests of calls run on our own wire and on aiohttp's: `WIRES` in a module says so, and on which."""

from collections.abc import Iterator, Mapping
from contextlib import closing

import pytest

from cab.proxy.accounting.shared_memory import SharedMemory
from tests.tools.wires import BOTH, DIRECT_ON_ASYNCIO, Wire, use_wire, wires_of

_ON_BOTH = frozenset({"accounting", "catalogue", "control", "forwarding"})
"""Folders whose coroutines run on both, unless their module says otherwise."""


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Wire]:
    """Return the event loops of a test, each with its wire."""
    here = item.path.relative_to(config.rootpath / "tests" / "proxy")
    return wires_of(item, BOTH if here.parts[0] in _ON_BOTH else (DIRECT_ON_ASYNCIO,))


@pytest.fixture(autouse=True)
def on_wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the proxies of a test run on its wire."""
    use_wire(request, monkeypatch)


@pytest.fixture
def memory() -> Iterator[SharedMemory]:
    """Memory of a server's own: a place says for ever which generations it has had."""
    with closing(SharedMemory.create()) as memory:
        yield memory
