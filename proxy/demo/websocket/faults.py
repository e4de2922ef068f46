"""How the demo misbehaves on a WebSocket, so that clients and meters can be tried on it."""

import asyncio
from collections.abc import Sequence
from typing import Literal, NamedTuple

UpgradeFaultName = Literal["upgrade_status", "upgrade_silence", "upgrade_reset", "upgrade_close"]
# fmt: off
ResponseFaultName = Literal[
    "error", "flat_error", "connection_limit", "hold", "late_steer", "cut", "close", "failed", "no_usage",
    "late_usage", "binary", "not_json", "huge", "ping",
]
# fmt: on


class WebSocketFault(NamedTuple):
    """A way to misbehave on a WebSocket."""

    name: UpgradeFaultName | ResponseFaultName | Literal["steer_failed"]
    """Of the upgrade: `upgrade_status` answers with the status `number`, `upgrade_silence` with nothing
    until it is released, `upgrade_reset` breaks the connection, `upgrade_close` accepts and closes
    with the code `number`.

    In place of a response: `error` is an event with the status `number`, and for the successor of a
    steered response the failure of its steering; `flat_error` is one as in a stream of server-sent
    events; `connection_limit` is what comes after 60 minutes, with the close.

    In a response, after `after` events: `hold` waits until it is steered (`number` times),
    interrupted or released; `late_steer` does so too, and goes on to its end; `cut` breaks the
    connection; `close` closes it with the code `number`.

    At its end: `failed` is `response.failed`; `no_usage` leaves the usage out; `late_usage` has it
    in `response.done` alone. Behind the first event: `binary`, `not_json`, `huge` (of `number`
    bytes) and `ping` are messages of that kind.

    `steer_failed` answers steering with the error `code`."""
    number: int = 0
    code: str | None = None
    after: int | None = None
    """Events that go before, counted from the end if it is negative; None for half of them."""
    at: int = 1
    """The first response of its connection that it meets, warm-ups and successors included."""
    calls: int | None = None
    """How often in all; None for ever."""


class WebSocketFaults:
    """The faults of a demo that runs."""

    def __init__(self) -> None:
        self._current: list[WebSocketFault] = []
        self._waiting: set[asyncio.Event] = set()
        self._released = False

    def set(self, *faults: WebSocketFault) -> None:
        """Set the faults; each upgrade, response or steering meets the first one that fits."""
        self._current = list(faults)
        self._released = False

    def take(self, names: Sequence[str], number: int = 1) -> WebSocketFault | None:
        """Return the fault that is met now.

        Args:
            names: Those that fit.
            number: Of the response on its connection, from 1.
        """
        for place, fault in enumerate(self._current):
            if fault.name in names and number >= fault.at and fault.calls != 0:
                if fault.calls is not None:
                    self._current[place] = fault._replace(calls=fault.calls - 1)
                return fault
        return None

    async def hold(self, woken: asyncio.Event) -> None:
        """Wait for an event, or until all that waits is released."""
        if not self._released:
            self._waiting.add(woken)
            await woken.wait()
            self._waiting.discard(woken)

    def release(self) -> None:
        """Let all go on that waits, and wait no more until the faults are set again."""
        self._released = True
        for woken in self._waiting:
            woken.set()
