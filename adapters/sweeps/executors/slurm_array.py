"""Slurm arrays, for sweeps of very many cells: one `sbatch` for up to a thousand attempts.

Attempts that ask for the same and come within a second make one array. A folder of the sweep, which the nodes
must share, holds what an array's tasks read and say (`spool`).
"""

import asyncio
import secrets
import shlex
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cab.adapters.errors import RunFailed
from cab.adapters.sweeps.executors.command import fill
from cab.adapters.sweeps.executors.messages import BEATS, WorkerEnded, WorkerMessage, WorkerStarted
from cab.adapters.sweeps.executors.processes import END_S, CellAttempt, arrived, no_times
from cab.adapters.sweeps.executors.protocol import CellJob, CellOutcome
from cab.adapters.sweeps.executors.registry import BadExecutor, ExecutorContext
from cab.adapters.sweeps.executors.slurm import SlurmExecutor, check_options
from cab.adapters.sweeps.executors.spool import SPOOL, ArraySpool, SaidReader

MOST_TASKS = 1_000
"""Attempts of one array: Slurm's MaxArraySize is 1001 by default, and indices are below it."""
GATHER_S = 1.0
"""Attempts that come within this time make one array."""

SBATCH = (
    *("sbatch", "--parsable", "--no-requeue", "--export=NONE", "--ntasks=1", "--nodes=1"),
    *("--mem={memory_mib}M", "--cpus-per-task={cpus}", "--gpus-per-task={gpus}"),
    *("--time={time_min}", "--exclude={avoid}", "--comment=cab-{token}", "--input=/dev/null"),
)
ARRAY_WORKER = "cab.adapters.sweeps.executors.array_worker"
"""Module that runs one task."""
_LOOK_S = 0.5
_LEASE_S = 10.0


@dataclass(slots=True)
class _Array:
    """Attempts that are, or will be, one array."""

    spool: ArraySpool
    jobs: list[CellJob] = field(default_factory=list[CellJob])
    submitted: asyncio.Event = field(default_factory=asyncio.Event)
    id: str | None = None
    """Slurm's; None before it is submitted, and where that failed."""
    error: str | None = None
    left: int = 0
    """Attempts that have not ended."""
    lease_s: float = 0.0
    """When its lease was last touched."""
    sizes: dict[str, int] = field(default_factory=dict[str, int])
    """Sizes of the files in its spool, as they were a moment ago."""
    sizes_s: float = 0.0
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class _Task:
    """One attempt in its array."""

    array: _Array
    index: int
    ending: asyncio.Event
    """Set when it is to end."""
    node: str | None = None
    started: bool = False
    silent: int = 0

    @property
    def id(self) -> str:
        """Slurm's name of it."""
        return f"{self.array.id}_{self.index}"


class SlurmArrayExecutor(SlurmExecutor):
    """Runs attempts as tasks of arrays.

    Args:
        context: The sweep.
    """

    def __init__(self, context: ExecutorContext) -> None:
        super().__init__(context, ())
        self._words = (*SBATCH, *context.table.options)
        self._spool = context.folder / SPOOL
        self._gathering: dict[str, _Array] = {}
        self._queue: frozenset[str] = frozenset()
        self._fresh: frozenset[str] = frozenset()
        """Tasks that were submitted since the queue was read."""

    @classmethod
    def of(cls, context: ExecutorContext) -> "SlurmArrayExecutor":
        """Return the executor of a sweep.

        Raises:
            BadExecutor: The nodes share no folder, or its options would hide its jobs from it.
        """
        check_options(context.table.options)
        if not context.table.shared:
            raise BadExecutor("executor: slurm-array needs shared = true; slurm does without")
        return cls(context)

    async def run(self, job: CellJob) -> CellOutcome:
        """Return how one attempt ended."""
        target = Path(job.bundles) / job.cell_id
        job = self.prepare(job)
        with self.attempts.entered(job.cell_id, CellAttempt(job, target)) as attempt:
            task = _Task(*await self._join(job), attempt.ending)
            try:
                outcome = await self._outcome_of(task, job)
            finally:
                self._forget(task)
            if outcome.state == "complete":
                outcome = await arrived(outcome, target, task.node)
            elif outcome.state == "failed" and task.node:
                outcome = outcome.model_copy(
                    update={"reason": f"node {task.node}: {outcome.reason}"}
                )
            return outcome.model_copy(update={"node": task.node})

    async def end_left(self, cell_ids: Sequence[str]) -> None:
        """Cancel arrays that went on, and remove keys that nobody read.

        Raises:
            RunFailed: Slurm does not answer, or a job does not end.
        """
        await super().end_left(cell_ids)
        await asyncio.to_thread(ArraySpool(self._spool).remove)

    async def _join(self, job: CellJob) -> tuple[_Array, int]:
        """Return the array of an attempt, submitted, and its index there."""
        shape = f"{job.resources.model_dump_json()} {job.avoid} {job.times}"
        array = self._gathering.get(shape)
        if array is None:
            array = self._gathering[shape] = _Array(ArraySpool(self._spool / secrets.token_hex(6)))
        array.jobs.append(job)
        array.left += 1
        index = len(array.jobs) - 1
        if len(array.jobs) == MOST_TASKS:
            del self._gathering[shape]
        if index == 0:  # whoever comes first submits for all
            await asyncio.sleep(GATHER_S)
            if self._gathering.get(shape) is array:
                del self._gathering[shape]
            try:
                await self._submit(array)
            finally:
                array.submitted.set()
        else:
            await array.submitted.wait()
        return array, index

    async def _submit(self, array: _Array) -> None:
        folder = str(array.spool.folder)
        log = f"{folder.replace('%', '%%')}/%a.log"
        last = len(array.jobs) - 1
        own = (f"--array=0-{last}", f"--job-name=cab-{self.token}", f"--output={log}")
        words = fill((*self._words, *own), self.places(array.jobs[0]), ())
        script = f"#!/bin/sh\nexec {shlex.join(self.worker_words(folder, module=ARRAY_WORKER))}\n"
        try:
            await asyncio.to_thread(array.spool.create, array.jobs)
        except OSError as error:
            array.error = f"{folder} cannot be written: {error.strerror}"
            return
        code, out, err = await self.ask(words, stdin=script.encode())
        number = out.strip().partition(";")[0]
        if code or not number.isdigit():
            array.error = f"sbatch did not take the array: {err or out.strip()}"
            return
        array.id = number
        self._fresh |= {f"{number}_{index}" for index in range(last + 1)}
        self._queue |= self._fresh

    async def _outcome_of(self, task: _Task, job: CellJob) -> CellOutcome:
        if task.array.error is not None:
            return CellOutcome(state="failed", reason=task.array.error)
        async with asyncio.TaskGroup() as group:
            lost_after_s = (job.times or no_times(job)).lost_after_s
            beside = [
                group.create_task(each)
                for each in (_hold_lease(task.array, lost_after_s), self.look_on())
            ]
            outcome = await self._follow(task, job)
            for each in beside:
                each.cancel()
        return outcome

    async def _follow(self, task: _Task, job: CellJob) -> CellOutcome:
        """Return how an attempt ended: as its worker says, or because it is lost."""
        times, spool = job.times or no_times(job), task.array.spool
        reader = SaidReader(spool.said(task.index))
        end_s, asked_s, gone = time.monotonic() + times.queue_s, None, 0
        while True:
            for message in await _news(task, reader):
                task.silent = 0
                if isinstance(message, WorkerStarted):
                    task.started, task.node = True, message.node
                    end_s = time.monotonic() + times.limit_s
                elif isinstance(message, WorkerEnded):
                    return message.outcome
            now_s = time.monotonic()
            if task.ending.is_set() and asked_s is None:
                asked_s = now_s
                with suppress(OSError):
                    await asyncio.to_thread(spool.end(task.index).touch)
            gone = 0 if task.id in self._queue else gone + 1
            # A shared folder may show late what a worker said before its task left the queue.
            gone_late = gone * _LOOK_S > times.lost_after_s / 2
            why = _why_lost(task, now_s > end_s, times.lost_after_s, gone_late)
            overdue = asked_s is not None and (not task.started or now_s > asked_s + END_S)
            if why is not None or overdue:
                if not gone_late:
                    await self._cancel_task(task)
                if task.ending.is_set():
                    return CellOutcome(state="stopped", reason="ended by the sweep")
                last = spool.last_message(task.index)
                return CellOutcome(state="failed", reason=f"{why}; its last message: {last}")
            task.silent += 1
            await asyncio.sleep(_LOOK_S)

    async def look(self) -> None:
        """Read the queue once, for all tasks: cancel what is over.

        Raises:
            RunFailed: Slurm does not answer.
        """
        self._fresh = frozenset()
        jobs = await self.jobs()
        # What was submitted while the queue was read may be missing there.
        self._queue = frozenset(job.id for job in jobs) | self._fresh
        await self.cancel_over(jobs)

    async def _cancel_task(self, task: _Task) -> None:
        with suppress(RunFailed):  # a later look at the queue does it
            await self.cancel_jobs(lambda job: job.id == task.id)

    def _forget(self, task: _Task) -> None:
        array = task.array
        self.note_over(task.id)
        array.spool.forget(task.index)
        array.left -= 1
        if not array.left:
            array.spool.remove()


async def _hold_lease(array: _Array, lost_after_s: float) -> None:
    """Renew the lease of an array until this is cancelled; of its attempts one does it at a time."""
    every_s = min(lost_after_s / BEATS, _LEASE_S)
    while True:
        now_s = time.monotonic()
        if now_s - array.lease_s >= every_s:
            array.lease_s = now_s
            with suppress(OSError):
                await asyncio.to_thread(array.spool.touch_lease)
        await asyncio.sleep(every_s)


async def _news(task: _Task, reader: SaidReader) -> Sequence[WorkerMessage]:
    """Return what a worker said since the last time; its file is opened only when it has grown.

    The folder is read once for all attempts of an array, and in a thread: it may be that of a slow server.
    """
    array = task.array
    if not array.looking.locked() and time.monotonic() - array.sizes_s >= _LOOK_S:
        async with array.looking:
            array.sizes = await asyncio.to_thread(array.spool.sizes)
            array.sizes_s = time.monotonic()
    if array.sizes.get(array.spool.said(task.index).name, 0) <= reader.offset:
        return ()
    return await asyncio.to_thread(lambda: list(reader.news()))


def _why_lost(task: _Task, late: bool, lost_after_s: float, gone: bool) -> str | None:
    if late:
        return "its time was over" if task.started else "no node took it in time"
    if task.started and task.silent * _LOOK_S > lost_after_s:
        return f"no sign of life for {lost_after_s:g} s"
    return "Slurm ended its job, and it has no outcome" if gone else None
