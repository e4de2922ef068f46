"""One attempt at a cell, in a process of its own: a job on stdin, signs of life and its outcome on stdout.

    python -m cab.adapters.sweeps.executors.worker

When stdin closes, the sweep has ended or is being stopped: the agent is ended with all its processes.
A sweep that is killed therefore leaves no agent behind, whatever killed it. The worker keeps the cell's
time limit too: it may be its sweep that is gone, without the end of a connection.
"""

import asyncio
import os
import shutil
import socket
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from cab.adapters.errors import AdapterError
from cab.adapters.runs.run_cell import run_cell
from cab.adapters.sweeps.executors.bundle_stream import pack_bundle
from cab.adapters.sweeps.executors.messages import (
    BEATS,
    RECEIVED,
    WorkerAlive,
    WorkerEnded,
    WorkerMessage,
    WorkerStarted,
    write_message,
)
from cab.adapters.sweeps.executors.protocol import CellJob, CellOutcome
from cab.proxy.errors import CabProxyError
from cab.proxy.logs import configure_logs
from cab.proxy.workers.stop_signals import on_stop_signal
from cab.scoring.errors import BadRecord, ScoringError
from cab.scoring.score import score_one

_JOB_BYTES = 1 << 20
_RECEIPT_S = 300.0
"""Time for the sweep to store a bundle and to say so."""
NODE_VARIABLE = "SLURMD_NODENAME"
"""Holds a node's name as Slurm knows it, which may differ from the host's."""


def node_name(environment: Mapping[str, str]) -> str:
    """Return the name of this machine, as its cluster knows it."""
    return environment.get(NODE_VARIABLE) or socket.gethostname()


async def run_job(job: CellJob) -> CellOutcome:
    """Run one attempt and return how it ended."""
    limit_s = None if job.times is None else job.times.limit_s
    try:
        async with asyncio.timeout(limit_s):
            bundle = await run_cell(job.spec())
        return await asyncio.to_thread(outcome_of, bundle)
    except TimeoutError:
        return CellOutcome(state="failed", reason=f"the cell did not end within {limit_s or 0:g} s")
    except (AdapterError, CabProxyError, ScoringError, OSError) as error:
        return CellOutcome(state="failed", reason=f"{type(error).__name__}: {error}")


def outcome_of(bundle: Path, cell_id: str | None = None) -> CellOutcome:
    """Return the outcome of a complete bundle.

    Args:
        bundle: Its folder.
        cell_id: The cell that it must be of; None for any.

    Raises:
        BadRecord: The bundle cannot be read, or is of another cell.
    """
    score = score_one(bundle)
    if cell_id is not None and score.cell_id != cell_id:
        raise BadRecord(
            str(bundle), None, f"it is the bundle of {score.cell_id}, and not of {cell_id}"
        )
    axes = score.axes
    calls, tokens = axes.calls, axes.tokens
    verdict = axes.pass_rate.passed
    return CellOutcome(
        state="complete",
        bundle=str(bundle),
        passed=None if verdict is None else bool(verdict),
        succeeded=None if calls is None else calls.succeeded,
        failures=dict((calls.failures if calls else None) or {}),
        rejected=(calls.rejected if calls else None) or 0,
        calls=tokens.model_calls,
        tokens=tokens.total_tokens,
    )


class WorkerVoice:
    """Says what a worker has to say, also while its cell keeps the event loop busy.

    Args:
        out: Where it is said.
    """

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._over = threading.Event()

    def say(self, message: WorkerMessage) -> None:
        """Say something; a sweep that is gone does not hear it."""
        with self._lock:
            self._write(message)

    def _write(self, message: WorkerMessage) -> None:
        with suppress(OSError):
            self._out.write(write_message(message))
            self._out.flush()

    def beat(self, every_s: float) -> None:
        """Give a sign of life every so many seconds from now on."""
        threading.Thread(target=self._beat, args=(every_s,), daemon=True).start()

    def end(self, outcome: CellOutcome, archive: IO[bytes] | None, size: int) -> None:
        """Say how it ended; no sign of life comes after that."""
        self.stop()
        self.say(WorkerEnded(outcome=outcome, bundle_bytes=size))
        if archive is not None:
            with self._lock, suppress(OSError):
                shutil.copyfileobj(archive, self._out, 1 << 16)
                # srun keeps what has no end of a line until the end of the program.
                self._out.write(b"\n")
                self._out.flush()

    def stop(self) -> None:
        """Give no further sign of life."""
        self._over.set()

    def _beat(self, every_s: float) -> None:
        while not self._over.wait(every_s):
            with self._lock:
                # Looked at under the lock: a sign of life behind the outcome would be taken for the archive.
                if not self._over.is_set():
                    self._write(WorkerAlive())


def set_up(job: CellJob) -> CellJob:
    """Give this process what the job says that it needs; return the job with the node's name.

    A cluster may start workers without any environment, which is how keys are kept out of it.
    """
    os.environ.update(job.environment)
    sys.path.extend(path for path in job.search_path if path not in sys.path)
    told = os.environ.get(NODE_VARIABLE)
    return job if job.node or not told else job.model_copy(update={"node": told})


def main() -> int:
    """Run the job on stdin; return the exit code."""
    configure_logs("warning", "json")
    asyncio.run(_run_from_stdin(WorkerVoice(private_stdout())))
    return 0


def private_stdout() -> IO[bytes]:
    """Return stdout as nobody else has it: whatever a library prints goes to stderr from now on."""
    sys.stdout.flush()
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return own


async def _run_from_stdin(voice: WorkerVoice) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_JOB_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    line = await reader.readline()
    if not line.endswith(b"\n"):  # the sweep ended before its job was here
        return
    job = set_up(CellJob.model_validate_json(line))
    voice.say(WorkerStarted(node=job.node or node_name(os.environ), pid=os.getpid()))
    if job.times is not None:
        voice.beat(job.times.lost_after_s / BEATS)
    outcome = await run_until_end(job, reader)
    await _hand_over(job, outcome, voice, reader)


async def run_until_end(job: CellJob, reader: asyncio.StreamReader) -> CellOutcome:
    """Run a job; the end of `reader`, and a signal to stop, end it."""
    async with asyncio.TaskGroup() as group:
        cell = group.create_task(run_job(job))
        on_stop_signal(lambda _: cell.cancel())
        listener = group.create_task(_cancel_at_end(reader, cell))
        await asyncio.wait({cell})
        listener.cancel()
    if cell.cancelled():
        return CellOutcome(state="stopped", reason="the sweep was stopped")
    return cell.result()


async def _hand_over(
    job: CellJob, outcome: CellOutcome, voice: WorkerVoice, reader: asyncio.StreamReader
) -> None:
    """Say the outcome; where no folder is shared the bundle follows, and stays until it has arrived."""
    bundle = None if outcome.bundle is None else Path(outcome.bundle)
    if bundle is None or not job.stream:
        await asyncio.to_thread(voice.end, outcome, None, 0)
        return
    with TemporaryFile() as archive:
        try:
            size = await asyncio.to_thread(pack_bundle, bundle, archive)
        except (AdapterError, OSError) as error:
            failed = CellOutcome(state="failed", reason=f"its bundle cannot be sent: {error}")
            await asyncio.to_thread(voice.end, failed, None, 0)
            return
        await asyncio.to_thread(voice.end, outcome, archive, size)
    with suppress(TimeoutError):
        async with asyncio.timeout(_RECEIPT_S):
            if await reader.readline() == RECEIVED:
                await asyncio.to_thread(shutil.rmtree, bundle, ignore_errors=True)


async def _cancel_at_end(reader: asyncio.StreamReader, cell: asyncio.Task[CellOutcome]) -> None:
    while await reader.read(_JOB_BYTES):
        pass
    cell.cancel()


if __name__ == "__main__":
    sys.exit(main())
