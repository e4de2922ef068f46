"""Rounds: the workers are asked what they know, and all who want to know wait for their answers."""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from cab.proxy.workers.worker_slot import WorkerSlot


@dataclass(slots=True)
class _Round:
    number: int
    asked: list[WorkerSlot]
    """Workers whose word is missing and waited for."""
    complete: bool
    """Whether all have answered, if those do that are waited for."""
    done: asyncio.Future[bool]
    on_end: Callable[[], None]
    timer: asyncio.TimerHandle | None = None


class Rounds:
    """The rounds that go on, one at a time for each topic.

    Args:
        answer_s: How long a worker may take for its word. One that takes longer hangs.
    """

    def __init__(self, answer_s: float) -> None:
        self._answer_s = answer_s
        self._rounds: dict[Hashable, _Round] = {}
        self._last = 0

    def __contains__(self, topic: Hashable) -> bool:
        return topic in self._rounds

    async def join(self, topic: Hashable, begin: Callable[[], None]) -> bool:
        """Return once a round is over that began after this call did; whether all have answered.

        Args:
            topic: What it is about.
            begin: Begins a round, with `ask`.
        """
        arrived = self._last
        while (running := self._rounds.get(topic)) is not None and running.number <= arrived:
            await asyncio.shield(running.done)
        if running is None:
            begin()
            running = self._rounds.get(topic)
        return True if running is None else await asyncio.shield(running.done)

    def ask(
        self,
        topic: Hashable,
        slots: list[WorkerSlot],
        message: tuple[object, ...],
        on_end: Callable[[], None],
    ) -> None:
        """Begin a round, which is over at once if there is nobody to wait for.

        A worker that hangs is asked, and not waited for: it can tell nothing new until it goes on.

        Args:
            topic: What it is about.
            slots: Who is asked.
            message: Follows the number of the round in the question, `settle`.
            on_end: Called when it is over, before those who wait go on.
        """
        loop = asyncio.get_running_loop()
        self._last += 1
        number = self._last
        asked = [slot for slot in slots if not slot.hangs]
        complete = len(asked) == len(slots)
        begun = _Round(number, asked, complete, loop.create_future(), on_end)
        self._rounds[topic] = begun
        for slot in slots:
            if slot.tell is not None:
                slot.tell("settle", number, *message)
        if asked:
            begun.timer = loop.call_later(self._answer_s, self._give_up, topic, begun)
        else:
            self._end(topic, begun)

    def answered(self, topic: Hashable, slot: WorkerSlot, number: int) -> bool:
        """Take a worker's word; return whether it is that for the round that goes on."""
        running = self._rounds.get(topic)
        if running is None or number != running.number:
            return False
        self._without(topic, running, slot)
        return True

    def gone(self, slot: WorkerSlot) -> None:
        """Wait for a worker no longer."""
        for topic, running in list(self._rounds.items()):
            self._without(topic, running, slot)

    def _without(self, topic: Hashable, running: _Round, slot: WorkerSlot) -> None:
        if slot in running.asked:
            running.asked.remove(slot)
        if not running.asked:
            self._end(topic, running)

    def _give_up(self, topic: Hashable, running: _Round) -> None:
        for slot in running.asked:
            slot.hangs = True
        running.complete = False
        self._end(topic, running)

    def _end(self, topic: Hashable, ended: _Round) -> None:
        if ended.timer is not None:
            ended.timer.cancel()
        del self._rounds[topic]
        ended.on_end()
        ended.done.set_result(ended.complete)
