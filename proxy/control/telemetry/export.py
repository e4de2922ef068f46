"""Follows the ledger and hands over calls as spans and metrics, beside all calls.

No call waits for it, and none knows of it: it reads what is written, in a thread of its own. While the
receiver is slow the ledger is read more slowly; while it is away, so many spans wait, and of more than that
the oldest are dropped and counted.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from cab.proxy.clock import Clock
from cab.proxy.control.telemetry.delivery import Delivery
from cab.proxy.control.telemetry.encoding import encoded_metrics, encoded_traces, rejected_spans
from cab.proxy.control.telemetry.metrics import CallHistograms
from cab.proxy.control.telemetry.target import OtlpTarget
from cab.proxy.ledger.follow import Follower
from cab.proxy.logs import RedactingLogger
from cab.proxy.redaction import Redactor
from cab.scoring.errors import ScoringError
from cab.scoring.exports.otel import SCHEMA_URL, SCOPE, span, spans_request
from cab.scoring.exports.otlp import metrics as metrics_request
from cab.scoring.ledger.records import CallEnd, parse_record
from cab.scoring.ledger.totals import is_model_call

STOP_S = 5.0
"""How long the last calls may take to be handed over when the proxy stops."""
_LINES_AT_ONCE = 1000
_PAUSE_AFTER = 16
"""Records, after which the thread lets the event loop go on: it needs the interpreter too."""
_PAUSE_S = 0.0005
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 1.0, 60.0
_END = b'"kind":"end"'
_Made = TypeVar("_Made")


class OtlpExport:
    """Hands over the calls of one process.

    Args:
        target: Where to.
        folder: The ledger, with what was written before it was opened.
        worker: Whose chain it is.
        clock: What time it is.
        model_label: Gives the names of models in metrics.
        held: Redacts what the proxy must not write.
    """

    def __init__(  # noqa: PLR0913 - it is put together in one place
        self,
        target: OtlpTarget,
        folder: Path,
        worker: int,
        clock: Clock,
        model_label: Callable[[str | None], str],
        held: Redactor,
    ) -> None:
        self.sent = 0
        """Spans that the receiver has taken."""
        self.dropped = 0
        """Spans that nobody will have."""
        self.failure: str | None = None
        """Why the receiver has not taken the last request; None if it has."""
        self._target = target
        self._clock = clock
        self._log = RedactingLogger(held)
        self._follower = Follower(folder, worker)
        self._queue: deque[CallEnd] = deque()
        self._resource: dict[str, Any] = {**target.resource, "cab.worker": worker}
        self._histograms = CallHistograms(model_label, clock.wall_ns())
        self._traces = None if target.traces is None else Delivery(target.traces)
        self._metrics = None if target.metrics is None else Delivery(target.metrics)
        self._thread = ThreadPoolExecutor(1, "cab-otel")
        self._stop = asyncio.Event()
        self._retry_at_s = 0.0
        self._failures = 0
        self._metrics_at_s = time.monotonic() + target.metrics_every_s

    @property
    def waiting(self) -> int:
        """How many spans wait for the receiver."""
        return len(self._queue)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["OtlpExport"]:
        """Hand over what ends while the context is open; leaving it takes some seconds at most."""
        async with AsyncExitStack() as stack:
            for delivery in filter(None, (self._traces, self._metrics)):
                stack.push_async_callback(delivery.close)
            stack.callback(self._close)
            await self._in_thread(self._follower.skip)
            task = asyncio.get_running_loop().create_task(self._run())
            try:
                yield self
            finally:
                self._stop.set()
                await asyncio.wait([task], timeout=STOP_S)
                task.cancel()
                await asyncio.wait([task])
                self._drop(len(self._queue), "the proxy has stopped")
                self._queue.clear()

    def _close(self) -> None:
        self._thread.submit(self._follower.close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], _Made]) -> _Made:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _run(self) -> None:
        try:
            is_last = False
            while not is_last:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._target.delay_s):
                        await self._stop.wait()
                is_last = self._stop.is_set()
                await self._round(is_last=is_last)
        except Exception:  # noqa: BLE001 - no call depends on it
            self._log.exception("otel_export_ended")
            self.failure = "the export has ended; see the log"

    async def _round(self, *, is_last: bool) -> None:
        """Hand over all that is there, or keep it for the next time."""
        if is_last:
            self._retry_at_s = 0.0
        more = True
        while more:
            more = await self._read()
            await self._send_spans()
        if is_last or time.monotonic() >= self._metrics_at_s:
            self._metrics_at_s = time.monotonic() + self._target.metrics_every_s
            await self._send_metrics()

    async def _read(self) -> bool:
        """Take what is new; return whether there may be more."""
        try:
            ends, lines, unreadable = await self._in_thread(self._new_ends)
        except (ScoringError, OSError) as error:
            self._failed(f"the ledger cannot be read: {error}")
            return False
        if self._traces is None:
            return lines == _LINES_AT_ONCE
        self._drop(unreadable, "a record cannot be read")
        self._queue.extend(ends)
        self._drop(too_many := max(0, len(self._queue) - self._target.queue_spans), "too many wait")
        for _ in range(too_many):
            self._queue.popleft()
        return lines == _LINES_AT_ONCE

    def _new_ends(self) -> tuple[list[CallEnd], int, int]:
        """Return the calls among the next lines, how many lines these were, and how many are unreadable."""
        ends, lines, unreadable = list[CallEnd](), 0, 0
        for line in islice(self._follower.new(), _LINES_AT_ONCE):
            lines += 1
            if _END not in line:
                continue
            try:
                record = parse_record(line)
            except ScoringError:
                unreadable += 1
                continue
            if isinstance(record, CallEnd) and is_model_call(record):
                self._histograms.add(record)
                ends.append(record)
                _pause(len(ends))
        return ends, lines, unreadable

    async def _send_spans(self) -> None:
        while self._queue and self._traces is not None and time.monotonic() >= self._retry_at_s:
            batch = list(islice(self._queue, self._target.batch_spans))
            packed, unfit = await self._in_thread(partial(self._packed, batch, self._traces))
            delivered = await self._traces.send(packed)
            if delivered.failure is not None and delivered.again:
                self._retry_later(delivered.failure, delivered.wait_s)
                return
            for _ in batch:
                self._queue.popleft()
            self._drop(unfit, "a record has no times")
            if delivered.failure is not None:
                self._failed(delivered.failure)
                self._drop(len(batch) - unfit, delivered.failure)
                continue
            self.failure, self._failures = None, 0
            rejected = self._rejected(delivered.body, len(batch) - unfit)
            self._drop(rejected, "the receiver rejects some")
            self.sent += len(batch) - unfit - rejected

    def _packed(self, batch: list[CallEnd], delivery: Delivery) -> tuple[bytes, int]:
        """Return a request with spans as it is sent, and how many calls cannot be spans."""
        spans, unfit = list[dict[str, Any]](), 0
        for number, end in enumerate(batch):
            try:
                spans.append(span(end))
            except ValueError:  # a ScoringError is one
                unfit += 1
            _pause(number)
        request = spans_request(spans, self._resource)
        return delivery.packed(encoded_traces(request, delivery.target.protocol, _pause)), unfit

    def _rejected(self, body: bytes, most: int) -> int:
        assert self._traces is not None
        try:
            return min(most, rejected_spans(body, self._traces.target.protocol))
        except (
            ValueError,
            AttributeError,
            TypeError,
        ):  # what it says beyond its status is not to be read
            return 0

    async def _send_metrics(self) -> None:
        if self._metrics is None:
            return
        found = self._histograms.collected(self._clock.wall_ns())
        if not found:
            return
        request = metrics_request(found, self._resource, SCOPE, SCHEMA_URL)
        made = encoded_metrics(request, self._metrics.target.protocol)
        delivered = await self._metrics.send(self._metrics.packed(made))
        # Nothing is lost: the next request holds the same sums.
        if delivered.failure is not None:
            self._failed(delivered.failure)
        elif self._traces is None:
            self.failure = None

    def _retry_later(self, reason: str, wait_s: float | None) -> None:
        backoff_s = min(_FIRST_BACKOFF_S * 2**self._failures, _LONGEST_BACKOFF_S)
        self._failures = min(self._failures + 1, 10)
        self._retry_at_s = time.monotonic() + (backoff_s if wait_s is None else wait_s)
        self._failed(reason)

    def _failed(self, reason: str) -> None:
        if self.failure != reason:
            self._log.warning("otel_not_delivered", reason=reason)
        self.failure = reason

    def _drop(self, count: int, reason: str) -> None:
        if count:
            self.dropped += count
            self._log.warning("otel_spans_dropped", count=count, reason=reason)


def _pause(number: int) -> None:
    """Let other threads go on now and then."""
    if number % _PAUSE_AFTER == 0:
        time.sleep(_PAUSE_S)
