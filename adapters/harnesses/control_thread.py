"""The control API for code that waits: on a thread beside whatever event loop that code runs in."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

from cab.proxy import ControlClient, ProxyRefused

_Result = TypeVar("_Result")


class ControlThread:
    """One connection to a proxy's control API; use it as `with ControlThread(...) as control`.

    Args:
        address: The proxy's URL.
        token: Its admin token.
    """

    def __init__(self, address: str, token: str) -> None:
        self._client = ControlClient(address, token)
        self._runner = asyncio.Runner()
        self._pool = ThreadPoolExecutor(1, "cab-control")

    def __enter__(self) -> Self:
        self._wait(self._client.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._wait(self._client.__aexit__())
        self._pool.submit(self._runner.close).result()
        self._pool.shutdown()

    def mint(self, cell_id: str, ttl_s: int) -> str:
        """Return a new key for calls of a cell; see `ControlClient.mint`."""
        return str(self._wait(self._client.mint(cell_id, ttl_s))["key"])

    def open_cell(self, cell_id: str) -> None:
        """Record that a cell is metered from now on; see `ControlClient.open_cell`."""
        self._wait(self._client.open_cell(cell_id))

    def totals(self, cell_id: str) -> dict[str, Any] | None:
        """Return what a cell has spent so far, None if it was neither opened nor called."""
        try:
            return self._wait(self._client.totals(cell_id))
        except ProxyRefused as error:
            if error.code != "no_such_cell":
                raise
            return None

    def _wait(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        return self._pool.submit(self._runner.run, work).result()
