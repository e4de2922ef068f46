"""Every test of a call in this folder runs twice: on our own wire, and on aiohttp's."""

import pytest

from tests.tools import proxy


@pytest.fixture(autouse=True, params=["direct", "aiohttp"])
def wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have `metered` run its proxies on one of the two."""
    monkeypatch.setitem(proxy.WIRE, "wire", request.param)
    return str(request.param)
