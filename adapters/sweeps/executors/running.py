"""The attempts that an executor runs now: any one can be ended, and all of them when the sweep stops."""

import asyncio
from collections.abc import Generator, ItemsView
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar


@dataclass(slots=True)
class RunningAttempt:
    """One that runs."""

    ending: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    """Set when it is to end."""
    over: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    """Set when it has ended."""


A = TypeVar("A", bound=RunningAttempt)


class RunningAttempts(Generic[A]):
    """All that run, by the id of their cell."""

    def __init__(self) -> None:
        self._by_cell: dict[str, A] = {}
        self._stopped = False

    def __len__(self) -> int:
        return len(self._by_cell)

    def get(self, cell_id: str) -> A | None:
        """Return the attempt of a cell; None if it does not run."""
        return self._by_cell.get(cell_id)

    def items(self) -> ItemsView[str, A]:
        """Return the ids of cells and their attempts."""
        return self._by_cell.items()

    @contextmanager
    def entered(self, cell_id: str, attempt: A) -> Generator[A]:
        """Count an attempt among those that run until the block ends; after `stop` it is to end at once."""
        self._by_cell[cell_id] = attempt
        if self._stopped:
            attempt.ending.set()
        try:
            yield attempt
        finally:
            del self._by_cell[cell_id]
            attempt.over.set()

    async def cancel(self, cell_id: str) -> None:
        """End one; returns when it has ended. Unknown ones are passed over."""
        attempt = self._by_cell.get(cell_id)
        if attempt is not None:
            attempt.ending.set()
            await attempt.over.wait()

    async def stop(self) -> None:
        """End all that run, and all that come; returns when those that run have ended."""
        self._stopped = True
        running = list(self._by_cell.values())
        for attempt in running:
            attempt.ending.set()
        for attempt in running:
            await attempt.over.wait()
