"""The ways in which a test's proxy speaks HTTP, and the event loop that it does so on.

A folder or a module of tests names its ways: each of its coroutines runs once in each. A test that is no
coroutine starts no proxy, and runs once.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import uvloop

from tests.tools import proxy
from tests.tools.tls import certificate

NewLoop = Callable[[], asyncio.AbstractEventLoop]


@dataclass(frozen=True)
class Wire:
    """One way; pytest-asyncio calls it for an event loop."""

    name: str
    new_loop: NewLoop
    settings: Callable[[], dict[str, Any]]

    def __call__(self) -> asyncio.AbstractEventLoop:
        return self.new_loop()


def _direct_loop() -> NewLoop:
    """Return what our own wire runs on: uvloop as in the program, unless the run is for asyncio's."""
    if os.environ.get("CAB_TEST_LOOP") == "asyncio":
        return asyncio.new_event_loop
    return uvloop.new_event_loop


DIRECT = Wire("direct", _direct_loop(), lambda: {"wire": "direct"})
AIOHTTP = Wire("aiohttp", asyncio.new_event_loop, lambda: {"wire": "aiohttp"})
DIRECT_ON_ASYNCIO = Wire("direct-asyncio", asyncio.new_event_loop, lambda: {"wire": "direct"})
DIRECT_TLS = Wire(
    "direct-tls", uvloop.new_event_loop, lambda: {"wire": "direct", "tls_cert_file": certificate()}
)
AIOHTTP_TLS = Wire(
    "aiohttp-tls",
    asyncio.new_event_loop,
    lambda: {"wire": "aiohttp", "tls_cert_file": certificate()},
)

BOTH = (DIRECT, AIOHTTP)
LOOPS = (*BOTH, DIRECT_ON_ASYNCIO)
"""For what may depend on the event loop: users without uvloop have asyncio's."""
ALL = (*LOOPS, DIRECT_TLS, AIOHTTP_TLS)
"""For what depends on the connection itself."""
TLS = (DIRECT_TLS, AIOHTTP_TLS)


def wires_of(item: pytest.Item, usual: tuple[Wire, ...]) -> Mapping[str, Wire]:
    """Return the ways of a test: those that its module names as `WIRES`, else the usual ones."""
    module = item.getparent(pytest.Module)
    wires: tuple[Wire, ...] = getattr(module.obj, "WIRES", usual) if module else usual
    return {wire.name: wire for wire in wires}


def use_wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `metered` run the proxies of a test in its way."""
    parameters = getattr(request.node, "callspec", None)
    for value in parameters.params.values() if parameters else ():
        if isinstance(value, Wire):
            for name, setting in value.settings().items():
                monkeypatch.setitem(proxy.WIRE, name, setting)
