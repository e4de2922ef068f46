"""Slurm: one `srun` for each attempt, found again and cancelled by its name and the sweep's mark.

`--export=NONE`, as the environment of a job is written into the controller's folder; nothing is queued
again by Slurm, as attempts have one owner, the sweep.

Only `srun` tells the controller that a job is over, and gives up after some seconds without an answer; the job then
counts as running, and holds its node until its time limit. So the queue is read from time to time: jobs
of attempts that have ended are cancelled.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from cab.adapters.errors import RunFailed
from cab.adapters.sweeps.executors.command import CommandExecutor
from cab.adapters.sweeps.executors.processes import no_times
from cab.adapters.sweeps.executors.protocol import CellJob, CellOutcome
from cab.adapters.sweeps.executors.registry import BadExecutor, ExecutorContext

ANSWER_S = 20.0
"""Time for a controller that is being started again to answer."""
LOOK_S = 10.0
"""How often the queue is read, once for all attempts."""
FIRST_LOOK_S = 0.5
"""When it is read first: only who has seen a job knows later that Slurm has lost it."""
WITHDRAW_S = 60.0
"""Time for a cancelled job to leave the queue: Slurm waits KillWait, 30 s by default, before SIGKILL."""

SRUN = (
    *("srun", "--quiet", "--ntasks=1", "--nodes=1", "--export=NONE", "--kill-on-bad-exit=1"),
    *("--mem={memory_mib}M", "--cpus-per-task={cpus}", "--gpus-per-task={gpus}"),
    *("--time={time_min}", "--exclude={avoid}", "--comment=cab-{token}", "--job-name={cell}"),
)
"""Without --mem a job takes a whole node; without --time it has the partition's limit, which may be none."""

_ALIVE = "PENDING,RUNNING,SUSPENDED,CONFIGURING,REQUEUED,REQUEUE_HOLD,STOPPED,RESIZING"
"""States of jobs that may still run a program; a job that is completing waits for its node only."""
_FORMAT = "%i|%k|%j"
_POLL_S = 0.2
_LACKING_S = 30.0
"""How long the queue must lack a job at least before it counts as lost."""
_MOST_IDS = 1_000  # words of one command


class SlurmJob(NamedTuple):
    """A job in the queue."""

    id: str
    name: str


class SlurmExecutor(CommandExecutor):
    """Runs each attempt with `srun`.

    Args:
        context: The sweep.
        start: Words that start a worker.
    """

    def __init__(self, context: ExecutorContext, start: Sequence[str]) -> None:
        super().__init__(context, start, ())
        self._over = set[str]()
        """Names and ids of jobs whose attempts have ended."""
        self._lacking_s = dict[str, float]()
        """Since when the queue lacks the job of an attempt that waits for its node."""
        self._names_hold = False
        """Whether the queue was seen to have an attempt's job under its name."""
        self._looking, self._looked_s, self._look_s = asyncio.Lock(), 0.0, FIRST_LOOK_S

    @classmethod
    def of(cls, context: ExecutorContext) -> "SlurmExecutor":
        """Return the executor of a sweep.

        Raises:
            BadExecutor: Its options would hide its jobs from it.
        """
        check_options(context.table.options)
        return cls(context, (*SRUN, *context.table.options, "{worker}"))

    async def run(self, job: CellJob) -> CellOutcome:
        """Return how one attempt ended."""
        async with asyncio.TaskGroup() as group:
            looker = group.create_task(self.look_on())
            outcome = await super().run(job)
            looker.cancel()
        self.note_over(job.cell_id)
        return outcome

    def note_over(self, job: str) -> None:
        """Take note that a job is not needed any more, by its name or its id."""
        self._over.add(job)

    async def look_on(self) -> None:
        """Read the queue from time to time until this is cancelled; of the attempts that run one does it for all."""
        while True:
            await asyncio.sleep(min(self._look_s, LOOK_S / 2))
            is_due = time.monotonic() - self._looked_s >= self._look_s
            if is_due and not self._looking.locked():
                async with self._looking:
                    with suppress(RunFailed):  # asked again at the next look
                        await self.look()
                    self._looked_s = time.monotonic()
                    self._look_s = LOOK_S if self._names_hold else min(2 * self._look_s, LOOK_S)

    async def look(self) -> None:
        """Read the queue once: cancel what is over, and give up what Slurm has lost.

        Raises:
            RunFailed: Slurm does not answer.
        """
        jobs = await self.jobs()
        self._give_up_unknown(jobs)
        await self.cancel_over(jobs)

    async def cancel_over(self, jobs: Iterable[SlurmJob]) -> None:
        """Cancel those jobs that are not needed any more."""
        await self._cancel([job.id for job in jobs if {job.name, job.id} & self._over])

    def _give_up_unknown(self, jobs: Iterable[SlurmJob]) -> None:
        """Give up attempts that wait for a node and have no job any more: `srun` would wait for ever."""
        names = {job.name for job in jobs}
        self._names_hold |= any(self.attempts.get(name) is not None for name in names)
        waiting = {job.cell_id: job for job in self.waiting()}
        lacking, now_s = waiting.keys() - names, time.monotonic()
        self._lacking_s = {each: self._lacking_s.get(each, now_s) for each in lacking}
        for cell_id, since_s in self._lacking_s.items():
            lost_after_s = (waiting[cell_id].times or no_times(waiting[cell_id])).lost_after_s
            # Not at once: srun may not have asked for it yet.
            if self._names_hold and now_s - since_s >= max(_LACKING_S, lost_after_s):
                self.give_up(cell_id, f"Slurm has no job of it, since {now_s - since_s:.0f} s")

    async def withdraw(self, job: CellJob) -> None:
        """Cancel what the queue has of an attempt; where Slurm does not answer, a later look does it."""
        with suppress(RunFailed):
            await self.cancel_jobs(lambda found: found.name == job.cell_id)

    async def end_left(self, cell_ids: Sequence[str]) -> None:
        """Cancel all jobs of this sweep: no other session of it runs, nor any attempt of this one.

        Raises:
            RunFailed: Slurm does not answer, or a job does not end.
        """
        del cell_ids
        await self.cancel_jobs(lambda _: True)

    async def jobs(self) -> list[SlurmJob]:
        """Return the sweep's jobs that are queued or run, each task of an array as one.

        Raises:
            RunFailed: Slurm does not answer.
        """
        words = ("squeue", "--noheader", "--array", f"--user={os.getuid()}", f"--states={_ALIVE}")
        code, out, err = await self.ask((*words, f"--format={_FORMAT}"))
        if code:
            raise RunFailed(
                f"Slurm's queue cannot be read ({err}); it takes Slurm's commands here, and a slurmctld that runs"
            )
        return list(_ours(out.splitlines(), f"cab-{self.token}"))

    async def cancel_jobs(self, wanted: Callable[[SlurmJob], bool]) -> None:
        """Cancel the sweep's jobs that are wanted, and return when they are out of the queue.

        Raises:
            RunFailed: Slurm does not answer, or a job does not end.
        """
        end_s, last = time.monotonic() + WITHDRAW_S, ""
        while time.monotonic() < end_s:
            try:
                found = [job.id for job in await self.jobs() if wanted(job)]
            except RunFailed:
                if time.monotonic() > end_s - WITHDRAW_S + ANSWER_S:
                    raise
            else:
                if not found:
                    return
                last = f"job {found[0]} of this sweep does not end; cancel it, then run the sweep again"
                await self._cancel(found)
            await asyncio.sleep(_POLL_S)
        raise RunFailed(last)

    async def _cancel(self, ids: Sequence[str]) -> None:
        for first in range(0, len(ids), _MOST_IDS):
            await self.ask(("scancel", *ids[first : first + _MOST_IDS]))


def check_options(options: Iterable[str]) -> None:
    """Make sure that options leave alone the names and the mark by which jobs are found again.

    Raises:
        BadExecutor: They do not.
    """
    for option in options:
        name = option.partition("=")[0]
        # Slurm takes the beginning of a name for the name.
        long = len(name) > 4 and any(each.startswith(name) for each in ("--job-name", "--comment"))
        if long or option.startswith("-J"):
            raise BadExecutor(
                f"executor.options: {option} would hide the sweep's jobs from it; remove it"
            )


def _ours(lines: Iterable[str], comment: str) -> Iterable[SlurmJob]:
    for line in lines:
        number, mark, name = [*line.split("|", 2), "", ""][:3]
        if mark == comment:
            yield SlurmJob(number, name)
