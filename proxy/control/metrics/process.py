"""The health of this process: what it measures of itself, and what its parts say when they are asked."""

import asyncio
import importlib.metadata
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from cab.proxy.control.metrics.calls import CallMetrics
from cab.proxy.control.metrics.labels import ModelLabels
from cab.proxy.control.metrics.samples import Histogram, Key, Samples, Value, added
from cab.proxy.control.metrics.sources import of_ledger
from cab.proxy.ledger.ledger import Ledger

LAG_EVERY_S = 0.5
"""How often the lag of the event loop is measured."""

CollectMetrics = Callable[[], Awaitable[Samples]]
"""Returns the sums over all processes of a proxy."""

Source = Callable[[], Iterable[tuple[Key, Value]]]
"""Gives what a part of the proxy counts and holds now."""


def of_this_process(samples: Callable[[], Samples]) -> CollectMetrics:
    """Return what collects the metrics of a proxy that is one process."""

    async def collect() -> Samples:
        return samples()

    return collect


class ProcessMetrics:
    """All that one process measures.

    Args:
        models: Gives the labels of models.
        started_s: When the proxy started, in seconds since the Unix epoch; None if another process says it.
    """

    def __init__(self, models: ModelLabels, started_s: float | None) -> None:
        self.models = models
        self.calls = CallMetrics(models)
        self.refused: Counter[str] = Counter()
        """Requests that were answered with an error and have no record, by the error's code."""
        self._started_s = started_s
        self._sync = Histogram.of("cab_ledger_sync_seconds")
        self._lag = Histogram.of("cab_event_loop_lag_seconds")
        self._sources: list[Source] = []
        self._timer: asyncio.TimerHandle | None = None
        self._open_starts: Callable[[], Iterable[Mapping[str, Any]]] = list

    def watch_ledger(self, ledger: Ledger) -> None:
        """Count the calls that a ledger has, from now on."""
        ledger.watch(self.calls.add, lambda took_ns: self._sync.add_us(took_ns // 1000))
        self._open_starts = ledger.open_starts
        self.add_source(partial(of_ledger, ledger))

    def add_source(self, source: Source) -> None:
        """Take what is to be asked at each reading."""
        self._sources.append(source)

    @contextmanager
    def watching_loop(self) -> Generator[None]:
        """Measure how late this event loop is while the context is open."""
        self._look_later()
        try:
            yield
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time() + LAG_EVERY_S

        def look() -> None:
            self._lag.add_us(max(0, round((loop.time() - due_s) * 1_000_000)))
            self._look_later()

        self._timer = loop.call_at(due_s, look)

    def samples(self) -> Samples:
        """Return all that this process has measured."""
        found = self.calls.samples(self._open_starts())
        found["cab_ledger_sync_seconds", ()] = self._sync.copy()
        found["cab_event_loop_lag_seconds", ()] = self._lag.copy()
        for code, count in self.refused.items():
            found["cab_refused_requests_total", (code,)] = count
        # Added up: two routes may have the same endpoint.
        parts = [{key: value} for source in self._sources for key, value in source()]
        found |= added(parts)
        found["cab_workers", ()] = 1
        if self._started_s is not None:
            found |= of_program(self._started_s)
        return found


def of_program(started_s: float) -> Samples:
    """Return what is said of a proxy as a whole.

    Args:
        started_s: When it started, in seconds since the Unix epoch.
    """
    version = importlib.metadata.version("coding-agent-bench")
    return {("cab_start_time_seconds", ()): started_s, ("cab_build_info", (version,)): 1}
