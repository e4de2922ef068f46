"""The calls in flight: those that run as tasks, and ordinary ones."""

import asyncio
from collections.abc import Iterator
from typing import Any

from cab.proxy.forwarding.body_budget import BodyShare
from cab.proxy.forwarding.exchange import Exchange
from cab.proxy.forwarding.ordinary.call import OrdinaryExchange
from cab.proxy.logs import RedactingLogger
from cab.proxy.redaction import Redactor


class RunningCalls:
    """Knows each call in flight until it is over, with its client or without."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[None], Exchange] = {}
        self._ordinary: dict[OrdinaryExchange, BodyShare] = {}
        self._no_ordinary = asyncio.Event()
        self._no_ordinary.set()

    def __iter__(self) -> Iterator[Exchange | OrdinaryExchange]:
        # Copied in one step: another thread may be the one that logs.
        yield from tuple(self._tasks.values())
        yield from tuple(self._ordinary)

    def __len__(self) -> int:
        return len(self._tasks) + len(self._ordinary)

    def redactors(self) -> Iterator[Redactor]:
        """Yield what redacts the secrets of each call."""
        yield from (call.redactor for call in self)

    def run(self, exchange: Exchange, share: BodyShare) -> asyncio.Task[None]:
        """Run a call as a task of its own, so that it outlives a client that hangs up."""
        task = asyncio.get_running_loop().create_task(_completed(exchange))
        self._tasks[task] = exchange  # also keeps the task from being garbage collected
        task.add_done_callback(self._tasks.pop)
        task.add_done_callback(lambda _: share.release())
        return task

    def begin(self, call: OrdinaryExchange, share: BodyShare) -> None:
        """Begin an ordinary call."""
        self._ordinary[call] = share
        self._no_ordinary.clear()
        call.begin()

    def over(self, call: OrdinaryExchange, exchange: Exchange | None) -> asyncio.Task[None] | None:
        """Take note that an ordinary call is over, or run the exchange that it became."""
        share = self._ordinary.pop(call)
        if not self._ordinary:
            self._no_ordinary.set()
        if exchange is not None:
            return self.run(exchange, share)
        share.release()
        return None

    async def ended(self) -> None:
        """Return once there is no call."""
        while len(self):  # one that is taken over goes on as a task
            await self._no_ordinary.wait()
            if self._tasks:
                await asyncio.wait(tuple[asyncio.Task[Any], ...](self._tasks))


async def _completed(exchange: Exchange) -> None:
    """Run a call; if even its record fails, the client sees its connection break, and no other."""
    try:
        await exchange.run()
    except Exception:
        log = RedactingLogger(exchange.redactor)
        log.exception("call_lost", method=exchange.client.request.method)
        exchange.client.abort()  # a head may be out already: no second one behind it
