"""The metrics of all workers as one sum, which no death of a worker makes smaller.

Each worker counts for itself and is asked when somebody scrapes. What one had counted stays in the sum
when it ends: its last word, and of one that was killed what its chain of the ledger says.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from cab.proxy.control.metrics.calls import FROM_RECORDS
from cab.proxy.control.metrics.labels import MOST_MODELS, OTHER
from cab.proxy.control.metrics.process import of_program
from cab.proxy.control.metrics.samples import Samples, added, lasting, packed, unpacked
from cab.proxy.control.metrics.table import METRICS
from cab.proxy.workers.worker_slot import WorkerSlot


class MetricsSharing:
    """Collects what the workers measure.

    Args:
        slots: The workers.
        started_s: When the proxy started, in seconds since the Unix epoch.
        answer_s: How long a worker may take to tell; of one that takes longer its last word counts.
    """

    def __init__(self, slots: list[WorkerSlot], started_s: float, answer_s: float) -> None:
        self.restarts = 0
        self._slots = slots
        self._started_s = started_s
        self._answer_s = answer_s
        self._last: dict[int, Samples] = {}
        """What each worker said last."""
        self._killed: dict[int, Samples] = {}
        """What workers that were killed said last, until their chains are counted; by process."""
        self._left: set[int] = set()
        """Workers that have said their last word."""
        self._ended: Samples = {}
        self._waiting: dict[int, list[asyncio.Future[None]]] = {}
        self._models: set[str] = set()

    def measured(self, slot: WorkerSlot, values: list[Any], is_last: bool = False) -> None:
        """Take what a worker has measured; its last word holds all that it has recorded."""
        self._last[slot.number] = unpacked(values)
        if is_last:
            self._left.add(slot.number)
        self._answered(slot)

    def gone(self, slot: WorkerSlot) -> None:
        """Wait for a worker no longer."""
        self._answered(slot)

    def _answered(self, slot: WorkerSlot) -> None:
        for future in self._waiting.pop(slot.number, ()):
            if not future.done():
                future.set_result(None)

    def has_told_all(self, slot: WorkerSlot) -> bool:
        """Return whether a worker that has ended has told all that it had counted."""
        return slot.number in self._left

    def ended(self, slot: WorkerSlot) -> None:
        """Keep what a worker has told that has ended: that was all."""
        self._left.discard(slot.number)
        self._ended = added([self._ended, lasting(self._last.pop(slot.number, {}))])

    def killed(self, slot: WorkerSlot, pid: int) -> frozenset[str]:
        """Keep what a worker has told that was killed, until `counted`; return the models it had named."""
        told = self._killed[pid] = lasting(self._last.pop(slot.number, {}))
        return frozenset(_model_of(name, labels) or OTHER for name, labels in told) - {OTHER}

    def counted(self, pid: int, samples: Samples | None) -> None:
        """Take what the calls of a killed worker came to, by its chain; None if nobody can tell."""
        told = self._killed.pop(pid)
        if samples is not None:
            told = {key: value for key, value in told.items() if key[0] not in FROM_RECORDS}
            told |= lasting(samples)
        self._ended = added([self._ended, told])

    async def collect(self) -> list[Any]:
        """Return the sum over all workers, those of the past too, as JSON values."""
        asked = [slot for slot in self._slots if slot.tell is not None and not slot.hangs]
        futures = {slot.number: self._ask(slot) for slot in asked}
        if futures:
            _, late = await asyncio.wait(futures.values(), timeout=self._answer_s)
            for slot in asked:
                slot.hangs |= futures[slot.number] in late
        whole: Samples = {
            **of_program(self._started_s),
            ("cab_worker_restarts_total", ()): self.restarts,
        }
        parts = [*self._last.values(), *self._killed.values(), self._ended]
        return packed(added([*self._few_models(parts), whole]))

    def _ask(self, slot: WorkerSlot) -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(slot.number, []).append(future)
        if slot.tell is not None:
            slot.tell("measure")
        return future

    def _few_models(self, parts: Iterable[Samples]) -> Iterable[Samples]:
        """Yield samples with no more models than there may be: each worker may have met others."""
        for part in parts:
            for (name, labels), value in part.items():
                model = _model_of(name, labels)
                if model is None or self._may_name(model):
                    yield {(name, labels): value}
                else:
                    at = METRICS[name].labels.index("model")
                    yield {(name, (*labels[:at], OTHER, *labels[at + 1 :])): value}

    def _may_name(self, model: str) -> bool:
        if model not in self._models and len(self._models) < MOST_MODELS:
            self._models.add(model)
        return model == OTHER or model in self._models


def _model_of(name: str, labels: tuple[str, ...]) -> str | None:
    names = METRICS[name].labels
    return labels[names.index("model")] if "model" in names else None
