"""What passes between a sweep and one worker: a job goes down, signs of life and an outcome come up.

Every wait has an end that does not depend on the worker: it may be gone, or its machine.
"""

import asyncio
import math
import time
from asyncio.subprocess import Process
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from cab.adapters.errors import RunFailed
from cab.adapters.sweeps.executors.bundle_stream import (
    MOST_BYTES,
    BadBundleStream,
    unpack_bundle,
)
from cab.adapters.sweeps.executors.messages import (
    BEATS,
    RECEIVED,
    WorkerEnded,
    WorkerStarted,
    read_message,
)
from cab.adapters.sweeps.executors.protocol import CellJob, CellOutcome
from cab.adapters.sweeps.executors.worker import outcome_of
from cab.adapters.sweeps.placement import CellTimes

_CHUNK_BYTES = 1 << 16


class WorkerLost(RunFailed):
    """A worker that is not waited for any longer; its message says why."""


@dataclass(slots=True)
class Conversation:
    """The talk with one worker. Its process may be that of a program that started it elsewhere."""

    process: Process
    times: CellTimes
    target: Path
    """Where a bundle that is sent belongs."""
    cell_id: str
    """The cell that it must be of."""
    node: str | None = None
    """Where it runs, once it has said so."""
    pid: int | None = None
    """Its process there."""
    started: bool = False
    _silent: int = 0
    """Intervals in which nothing came, one after the other."""
    _interval_end_s: float = field(default_factory=time.monotonic)

    async def hold(self, request: bytes) -> CellOutcome | None:
        """Send a request and return the outcome; None if the worker ended without one.

        Raises:
            WorkerLost: It gives no sign of life, or its time is over.
        """
        assert self.process.stdin is not None
        with suppress(ConnectionError):  # it ended already: that shows when it is read
            self.process.stdin.write(request)
            async with _within(self.times.queue_s, "it does not take its job"):
                await self.process.stdin.drain()
        end_s, over = time.monotonic() + self.times.queue_s, "no node took it"
        while (line := await self._line(end_s, over)) is not None:
            message = read_message(line)
            if message is not None:
                self._silent = 0
                self._interval_end_s = time.monotonic() + self.times.lost_after_s / BEATS
            # Only once: a worker that says it again and again would have no limit.
            if isinstance(message, WorkerStarted) and not self.started:
                self.started, self.node, self.pid = True, message.node, message.pid
                end_s, over = time.monotonic() + self.times.limit_s, "its cell did not end"
            elif isinstance(message, WorkerEnded):
                return await self._take_bundle(message)
        return None

    async def _line(self, end_s: float, over: str) -> bytes | None:
        """Return the next line; None at the end of all lines.

        Silence is counted in intervals and not by the clock: a sweep that slept, or was stopped for a
        while, must not take its own silence for the worker's.
        """
        assert self.process.stdout is not None
        while True:
            now_s = time.monotonic()
            # Looked at here as well: a flood of lines that say nothing would let no time-out come.
            if now_s >= end_s:
                limit_s = self.times.limit_s if self.started else self.times.queue_s
                raise WorkerLost(f"{over} within {limit_s:g} s")
            if now_s >= self._interval_end_s:
                self._pass_interval(now_s)
            try:
                async with asyncio.timeout(min(self._interval_end_s, end_s) - now_s):
                    return await self.process.stdout.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return None
            except asyncio.LimitOverrunError as error:
                await self.process.stdout.readexactly(error.consumed)  # no line of a worker's
            except TimeoutError:
                continue

    def _pass_interval(self, now_s: float) -> None:
        self._silent += 1
        self._interval_end_s = now_s + self.times.lost_after_s / BEATS
        if self.started and self._silent > BEATS:
            raise WorkerLost(f"no sign of life for {self.times.lost_after_s:g} s")

    async def _take_bundle(self, ended: WorkerEnded) -> CellOutcome:
        if not ended.bundle_bytes:
            return ended.outcome
        # What it came to is read from the bundle, and not from what the worker says of it.
        outcomes: list[CellOutcome] = []

        def check(folder: Path) -> None:
            outcomes.append(outcome_of(folder, self.cell_id))

        try:
            with TemporaryFile() as archive:
                await self._receive(ended.bundle_bytes, archive)
                await asyncio.to_thread(unpack_bundle, archive, self.target, check)
        except (BadBundleStream, OSError) as error:
            return CellOutcome(state="failed", reason=f"its bundle cannot be taken: {error}")
        assert self.process.stdin is not None
        with suppress(ConnectionError):
            self.process.stdin.write(RECEIVED)
            async with _within(self.times.lost_after_s, "it does not read"):
                await self.process.stdin.drain()
        return outcomes[0].model_copy(update={"bundle": str(self.target)})

    async def _receive(self, size: int, archive: IO[bytes]) -> None:
        if size > MOST_BYTES:
            raise BadBundleStream(f"its bundle of {size} bytes is larger than {MOST_BYTES} bytes")
        assert self.process.stdout is not None
        while size:
            async with _within(self.times.lost_after_s, "its bundle did not come to its end"):
                chunk = await self.process.stdout.read(min(size, _CHUNK_BYTES))
            if not chunk:
                raise BadBundleStream("it broke off")
            archive.write(chunk)
            size -= len(chunk)
        archive.seek(0)


class _within:  # noqa: N801 - reads as a function
    """Raise `WorkerLost` past a limit."""

    def __init__(self, limit_s: float, why: str) -> None:
        self._timeout = asyncio.timeout(limit_s if math.isfinite(limit_s) else None)
        self._why = f"{why} within {limit_s:g} s"

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *error: object) -> None:
        try:
            await self._timeout.__aexit__(*error)  # type: ignore[arg-type]
        except TimeoutError:
            raise WorkerLost(self._why) from None


def job_line(job: CellJob) -> bytes:
    """Return a job as the line that a worker reads."""
    return job.model_dump_json().encode() + b"\n"
