"""Runs workers behind processes of this machine: they talk over pipes, and are ended in order.

So no cell can hold up the proxy, and a fault in one cell costs that cell only. What starts a worker
and what ends one that is lost is left to whoever says where cells run.
"""

import asyncio
import os
import signal
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cab.adapters.runs.bundle import is_complete
from cab.adapters.sweeps.executors.conversation import Conversation, WorkerLost, job_line
from cab.adapters.sweeps.executors.messages import LINE_BYTES
from cab.adapters.sweeps.executors.protocol import CellJob, CellOutcome
from cab.adapters.sweeps.executors.running import RunningAttempt, RunningAttempts
from cab.adapters.sweeps.placement import QUEUE_S, CellTimes

END_S = 60.0
"""Time for an agent to end (5 s after SIGTERM) and for the cleanup after it."""
KILLED_S = 10.0
"""Time for a process to go after SIGKILL."""

ARRIVAL_S = 30.0
"""Time for a bundle that a node wrote to appear here."""

_POLL_S = 0.1
_MESSAGE_CHARS = 500
_MESSAGE_BYTES = 1 << 16


@dataclass(slots=True)
class CellAttempt(RunningAttempt):
    """One that this executor runs."""

    job: CellJob
    target: Path
    """Where its bundle belongs."""
    talk: Conversation | None = None
    """The talk with its worker, where a process stands between."""
    given_up: str | None = None
    """Why it is to end, if that is not the sweep's wish."""

    @property
    def started(self) -> bool:
        """Whether its worker has said so."""
        return self.talk is not None and self.talk.started


class ProcessExecutor:
    """Runs each attempt behind a process; a subclass says which one, and how one is withdrawn.

    Args:
        end_s: How long a worker may take to end its agent; then its process is killed.
        arrival_s: How long a bundle that another machine wrote may take to appear here.
    """

    starts_at_once = False
    """Whether the process is the worker's own: it reads its input at once, and is killed before the cleanup."""

    def __init__(self, end_s: float = END_S, arrival_s: float = ARRIVAL_S) -> None:
        self._end_s, self._arrival_s = end_s, arrival_s
        self.attempts = RunningAttempts[CellAttempt]()

    def prepare(self, job: CellJob) -> CellJob:
        """Return the job as the worker gets it.

        Raises:
            WorkerLost: No node is left for it.
        """
        return job

    def words(self, job: CellJob) -> Sequence[str]:
        """Return the command that starts the worker of a job."""
        raise NotImplementedError

    def variables(self) -> Mapping[str, str]:
        """Return the environment of that command."""
        raise NotImplementedError

    async def withdraw(self, job: CellJob) -> None:
        """End what the process started and may have left, after it was lost or killed."""
        raise NotImplementedError

    def place(self, job: CellJob, told: str | None) -> str | None:
        """Return the node of an attempt, from what its worker said of it; None where there are no nodes."""
        return job.node or told

    def release(self, job: CellJob) -> None:
        """Take note that an attempt has ended."""

    async def end_left(self, cell_ids: Sequence[str]) -> None:
        """End attempts that a killed sweep left; here their workers do so themselves."""

    async def run(self, job: CellJob) -> CellOutcome:
        """Return how one attempt ended."""
        target = Path(job.bundles) / job.cell_id
        try:
            job = self.prepare(job)
        except WorkerLost as error:
            return CellOutcome(state="failed", reason=str(error))
        with self.attempts.entered(job.cell_id, CellAttempt(job, target)) as attempt:
            try:
                with tempfile.TemporaryFile() as err:
                    return await self._outcome(attempt, err)
            finally:
                self.release(job)

    async def cancel(self, cell_id: str) -> None:
        """End one attempt; returns when it has ended."""
        await self.attempts.cancel(cell_id)

    async def stop(self) -> None:
        """End all that run; returns when they have ended."""
        await self.attempts.stop()

    def waiting(self) -> list[CellJob]:
        """Return the jobs whose workers have not said that they started."""
        return [attempt.job for _, attempt in self.attempts.items() if not attempt.started]

    def give_up(self, cell_id: str, why: str) -> None:
        """End an attempt that nobody will start any more; it fails with that reason."""
        attempt = self.attempts.get(cell_id)
        if attempt is not None and not attempt.ending.is_set():
            attempt.given_up = why
            attempt.ending.set()

    async def _outcome(self, attempt: CellAttempt, err: IO[bytes]) -> CellOutcome:
        job, lost = attempt.job, None
        try:
            process = await self._start(job, err)
        except OSError as error:
            program = self.words(job)[0]
            reason = f"{program} cannot be started: {error.strerror or error}"
            return CellOutcome(state="failed", reason=reason)
        talk = attempt.talk = Conversation(
            process, job.times or no_times(job), attempt.target, job.cell_id
        )
        outcome: CellOutcome | None = None
        try:
            async with asyncio.TaskGroup() as group:
                ender = group.create_task(self._end_when_told(attempt, process))
                try:
                    outcome = await talk.hold(job_line(job))
                except WorkerLost as error:
                    lost = str(error)
                ender.cancel()
        finally:  # cancelled, too: the worker then ends its agent itself
            _close_stdin(process)
        await self._finish(job, process, orderly=outcome is not None)
        node = self.place(job, talk.node)
        if outcome is None:
            outcome = _without_outcome(attempt, process.returncode, err, lost, node)
        elif outcome.state == "complete":
            outcome = await arrived(outcome, attempt.target, node, self._arrival_s)
        elif outcome.state == "failed" and node:
            outcome = outcome.model_copy(update={"reason": f"node {node}: {outcome.reason}"})
        return outcome.model_copy(update={"node": node})

    async def _start(self, job: CellJob, err: IO[bytes]) -> Process:
        return await asyncio.create_subprocess_exec(
            *self.words(job),
            stdin=PIPE,
            stdout=PIPE,
            stderr=err,
            env=self.variables(),
            limit=LINE_BYTES,
            # Ctrl-C is for the sweep alone, which then ends its cells in order.
            start_new_session=True,
        )

    async def _end_when_told(self, attempt: CellAttempt, process: Process) -> None:
        """End a worker in order, and by force if it takes too long; one that waits for a node at once."""
        await attempt.ending.wait()
        _close_stdin(process)
        if self.starts_at_once or attempt.started:
            await asyncio.sleep(self._end_s)
        if not self.starts_at_once:
            await self.withdraw(attempt.job)
        _kill(process)

    async def _finish(self, job: CellJob, process: Process, *, orderly: bool) -> None:
        """Return when nothing of an attempt runs any more, as far as that can be known from here."""
        if orderly and await has_ended(process, self._end_s):
            return
        if self.starts_at_once:
            _kill(process)
            await has_ended(process, KILLED_S)
            await self.withdraw(job)
            return
        # Withdrawn before the process is killed: what it started elsewhere may outlive it.
        await self.withdraw(job)
        if not await has_ended(process, KILLED_S):
            _kill(process)
            await has_ended(process, KILLED_S)

    def worker_pid(self, cell_id: str) -> int | None:
        """Return the process of a worker where it runs; None before it has said so."""
        attempt = self.attempts.get(cell_id)
        return None if attempt is None or attempt.talk is None else attempt.talk.pid


def _without_outcome(
    attempt: CellAttempt, code: int | None, err: IO[bytes], lost: str | None, node: str | None
) -> CellOutcome:
    if attempt.given_up is not None:
        return CellOutcome(state="failed", reason=attempt.given_up)
    if attempt.ending.is_set():
        return CellOutcome(state="stopped", reason="ended by the sweep")
    where = f"node {node}: " if node else ""
    if lost is not None:
        return CellOutcome(state="failed", reason=f"{where}the cell's worker is lost: {lost}")
    how = "no exit code" if code is None else _how_ended(code)
    last = _last_message(err)
    reason = f"{where}the cell's process ended by itself with {how}; its last message: {last}"
    return CellOutcome(state="failed", reason=reason)


async def arrived(
    outcome: CellOutcome, target: Path, node: str | None, limit_s: float = ARRIVAL_S
) -> CellOutcome:
    """Return an outcome once its bundle is to be seen here: a shared folder may show it some time later."""
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            while not is_complete(target):  # noqa: ASYNC110 - another machine writes it
                await asyncio.sleep(_POLL_S)
    if is_complete(target):
        return outcome.model_copy(update={"bundle": str(target)})
    where = f"node {node}: " if node else ""
    reason = f"{where}the bundle is not in {target}; share that folder, or set shared = false"
    return CellOutcome(state="failed", reason=reason)


def no_times(job: CellJob) -> CellTimes:
    """Return times for a job of somebody who sets none."""
    return CellTimes(queue_s=QUEUE_S, limit_s=QUEUE_S + job.timeout_s, lost_after_s=QUEUE_S)


async def has_ended(process: Process, limit_s: float) -> bool:
    """Wait for the end of a process whose output is not read by anybody; return whether it came in time."""
    # What it still says is read and dropped: a full pipe would keep it from ending.
    assert process.stdout is not None
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            while await process.stdout.read(LINE_BYTES):
                pass
            await process.wait()
    return process.returncode is not None


def _close_stdin(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it leads a group of its own
        os.killpg(process.pid, signal.SIGKILL)


def _how_ended(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _last_message(err: IO[bytes]) -> str:
    err.seek(max(0, err.seek(0, os.SEEK_END) - _MESSAGE_BYTES))
    lines = [line for line in err.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[-_MESSAGE_CHARS:] if lines else "nothing"
