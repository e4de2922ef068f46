"""The executor of this machine: each attempt in a process of its own, beside the proxy's.

So no cell can hold up the proxy, and a fault in one cell costs that cell only.
"""

import asyncio
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from cab.adapters.errors import RunFailed
from cab.adapters.processes.cleanup import clean_up, module_path
from cab.adapters.runs.bundle import read_marker
from cab.adapters.sweeps.executors.protocol import CellJob, CellOutcome

WORKER = "cab.adapters.sweeps.executors.worker"
"""Module that the processes run."""
END_S = 60.0
"""Time for an agent to end (5 s after SIGTERM) and for the cleanup after it."""

_MESSAGE_CHARS = 500


class LocalExecutor:
    """Runs each attempt as `python -m cab.adapters.sweeps.executors.worker`.

    Args:
        end_s: How long a process may take to end its agent; then it is killed itself.
    """

    def __init__(self, end_s: float = END_S) -> None:
        self._end_s = end_s
        self._running: set[asyncio.subprocess.Process] = set()
        self._stopped = False

    async def run(self, job: CellJob) -> CellOutcome:
        """Return how one attempt ended."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            try:
                code = await self._process(job, out, err)
            except OSError as error:
                reason = f"the cell's process cannot be started: {error.strerror or error}"
                return CellOutcome(state="failed", reason=reason)
            outcome = _read_outcome(out)
            if outcome is not None:
                return outcome
            await _clean_up(job)
            if self._stopped:
                return CellOutcome(state="stopped", reason="ended by the sweep")
            return CellOutcome(state="failed", reason=_crash_reason(code, err))

    async def stop(self) -> None:
        """End all that run; returns when they have ended."""
        self._stopped = True
        running = list(self._running)
        for process in running:
            _close_stdin(process)
        try:
            async with asyncio.timeout(self._end_s):
                for process in running:
                    await process.wait()
        except TimeoutError:
            for process in running:
                if process.returncode is None:
                    process.kill()

    async def _process(self, job: CellJob, out: IO[bytes], err: IO[bytes]) -> int:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", WORKER),
            stdin=asyncio.subprocess.PIPE,
            stdout=out,
            stderr=err,
            env=_environment(),
            # Ctrl-C is for the sweep alone, which then ends its cells in order.
            start_new_session=True,
        )
        self._running.add(process)
        try:
            assert process.stdin is not None
            process.stdin.write(job.model_dump_json().encode() + b"\n")
            if self._stopped:  # while the process was being started
                _close_stdin(process)
            return await process.wait()
        finally:
            _close_stdin(process)
            self._running.discard(process)


async def _clean_up(job: CellJob) -> None:
    """End what is left of a cell whose process was killed."""
    marker = read_marker(Path(job.bundles) / job.cell_id)
    if marker is not None:
        with suppress(RunFailed):  # what cannot be ended now is tried again when the sweep goes on
            await clean_up(marker.cleanup)


def _close_stdin(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()


def _environment() -> dict[str, str]:
    """Return our environment without our keys, with our module search path."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("CAB_")}
    return {**env, "PYTHONPATH": module_path()}


def _read_outcome(out: IO[bytes]) -> CellOutcome | None:
    out.seek(0)
    lines = out.read().splitlines()
    try:
        return CellOutcome.model_validate_json(lines[-1] if lines else b"")
    except ValidationError:
        return None


def _crash_reason(code: int, err: IO[bytes]) -> str:
    err.seek(0)
    lines = [line for line in err.read().decode(errors="replace").splitlines() if line.strip()]
    message = lines[-1].strip()[-_MESSAGE_CHARS:] if lines else "nothing"
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"the cell's process ended by itself with {how}; its last message: {message}"
