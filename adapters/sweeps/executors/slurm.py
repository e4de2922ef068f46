"""Slurm: one `srun` for each attempt, found again and cancelled by its name and the sweep's mark.

`--export=NONE`, as the environment of a job is written into the controller's folder; nothing is queued
again by Slurm, as attempts have one owner, the sweep.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from cab.adapters.errors import RunFailed
from cab.adapters.sweeps.executors.command import CommandExecutor
from cab.adapters.sweeps.executors.protocol import CellJob
from cab.adapters.sweeps.executors.registry import ExecutorContext

ANSWER_S = 20.0
"""Time for a controller that is being started again to answer."""
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
_MOST_IDS = 1_000  # words of one command


class SlurmJob(NamedTuple):
    """A job in the queue."""

    id: str
    name: str


class SlurmExecutor(CommandExecutor):
    """Runs each attempt with `srun`."""

    @classmethod
    def of(cls, context: ExecutorContext) -> "SlurmExecutor":
        """Return the executor of a sweep."""
        return cls(context, (*SRUN, *context.table.options, "{worker}"), ())

    async def withdraw(self, job: CellJob) -> None:
        """Cancel what the queue has of an attempt; where Slurm does not answer, its end is left to --time."""
        try:
            await self.cancel_jobs(lambda found: found.name == job.cell_id)
        except RunFailed:
            return  # its key is revoked by now, and the next session cancels what is left

    async def end_left(self, cell_ids: Sequence[str]) -> None:
        """Cancel all jobs of this sweep: no other session of it runs.

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
                f"Slurm's queue cannot be read ({err}); start slurmctld, then try again"
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
                for first in range(0, len(found), _MOST_IDS):
                    await self.ask(("scancel", *found[first : first + _MOST_IDS]))
            await asyncio.sleep(_POLL_S)
        raise RunFailed(last)


def _ours(lines: Iterable[str], comment: str) -> Iterable[SlurmJob]:
    for line in lines:
        number, mark, name = [*line.split("|", 2), "", ""][:3]
        if mark == comment:
            yield SlurmJob(number, name)
