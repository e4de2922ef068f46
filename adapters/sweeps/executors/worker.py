"""One attempt at a cell, in a process of its own: a job on stdin, its outcome on stdout.

    python -m cab.adapters.sweeps.executors.worker

When stdin closes, the sweep has ended or is being stopped: the agent is ended with all its processes.
A sweep that is killed therefore leaves no agent behind, whatever killed it.
"""

import asyncio
import sys
from pathlib import Path

from cab.adapters.errors import AdapterError
from cab.adapters.runs.run_cell import run_cell
from cab.adapters.sweeps.executors.protocol import CellJob, CellOutcome
from cab.proxy.errors import CabProxyError
from cab.proxy.logs import configure_logs
from cab.proxy.workers.stop_signals import on_stop_signal
from cab.scoring.errors import ScoringError
from cab.scoring.score import score_one

_JOB_BYTES = 1 << 20


async def run_job(job: CellJob) -> CellOutcome:
    """Run one attempt and return how it ended."""
    try:
        bundle = await run_cell(job.spec())
        return await asyncio.to_thread(outcome_of, bundle)
    except (AdapterError, CabProxyError, ScoringError, OSError) as error:
        return CellOutcome(state="failed", reason=f"{type(error).__name__}: {error}")


def outcome_of(bundle: Path) -> CellOutcome:
    """Return the outcome of a complete bundle.

    Raises:
        BadRecord: The bundle cannot be read.
    """
    axes = score_one(bundle).axes
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


def main() -> int:
    """Run the job on stdin; return the exit code."""
    configure_logs("warning", "json")
    outcome = asyncio.run(_run_from_stdin())
    sys.stdout.write(f"{outcome.model_dump_json()}\n")
    return 0


async def _run_from_stdin() -> CellOutcome:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_JOB_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    job = CellJob.model_validate_json(await reader.readline())
    async with asyncio.TaskGroup() as group:
        cell = group.create_task(run_job(job))
        on_stop_signal(lambda _: cell.cancel())
        listener = group.create_task(_cancel_at_end(reader, cell))
        await asyncio.wait({cell})
        listener.cancel()
    if cell.cancelled():
        return CellOutcome(state="stopped", reason="the sweep was stopped")
    return cell.result()


async def _cancel_at_end(reader: asyncio.StreamReader, cell: asyncio.Task[CellOutcome]) -> None:
    while await reader.read(_JOB_BYTES):
        pass
    cell.cancel()


if __name__ == "__main__":
    sys.exit(main())
