"""One of the workers, as the parent sees it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class WorkerSlot:
    """One of the workers: what it has in flight, and whether it runs."""

    number: int
    calls: dict[str, str | None] = field(default_factory=dict[str, str | None])
    """Calls in flight that it has told of, with their cells."""
    numbers: dict[str, int] = field(default_factory=dict[str, int])
    """Numbers of those that have one."""
    held: set[str | None] = field(default_factory=set[str | None])
    """Cells of which it may have admitted calls that it has not told of."""
    armed: dict[str | None, int] = field(default_factory=dict[str | None, int])
    """The generation of each cell's users whose counters its calls go into when they end."""
    seals: dict[str, int | None] = field(default_factory=dict[str, int | None])
    """Cells that it closed, with the number of the message that asked for it: if it died, only the ledger knows whether their seals were written."""
    hangs: bool = False
    """Whether it was asked, and has said nothing at all since then for too long."""
    heard: bool = False
    """Whether it has said anything since it was last asked whether it is alive."""
    ready: asyncio.Future[str] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    """Done when it takes calls, with the address of its control API; fails if it cannot start."""
    reloaded: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it has taken over the settings of the last reload, or is gone."""
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while no connection from the worker is open."""
    tell: Callable[..., None] | None = None
    """Sends it a message that wants no answer: an operation and its arguments. None while it is gone."""

    kill: Callable[[], None] | None = None
    """Kills its process. None while there is none."""

    def __post_init__(self) -> None:
        self.gone.set()

    def begin(self, call_id: str, cell_id: str | None, number: int | None) -> None:
        """Take note of a call that it has in flight."""
        self.calls[call_id] = cell_id
        if number is not None:
            self.numbers[call_id] = number

    def end(self, call_id: str) -> None:
        """Take note that a call has ended."""
        self.calls.pop(call_id, None)
        self.numbers.pop(call_id, None)

    def has_calls(self, cell_id: str | None) -> bool:
        """Return whether it has calls of a cell in flight, as far as it has told."""
        return cell_id in self.calls.values()
