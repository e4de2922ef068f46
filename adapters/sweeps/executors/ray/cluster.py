"""Runs cells on the nodes of a Ray cluster that share the sweep's folder, by way of a process that talks to Ray."""

import asyncio
import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ValidationError

from cab.adapters.processes.cleanup import module_path
from cab.adapters.sweeps.executors.processes import END_S, KILLED_S
from cab.adapters.sweeps.executors.protocol import CellJob, CellOutcome
from cab.adapters.sweeps.executors.ray.messages import BridgeAnswer, BridgeOrder, BridgeStart
from cab.adapters.sweeps.executors.registry import BadExecutor, ExecutorContext

ADDRESS = "address"
"""Key of `[executor.settings]`: the cluster, as `ray.init` takes it."""
LOG = "ray.log"
"""File in the sweep's folder with what Ray says."""
_BRIDGE = "cab.adapters.sweeps.executors.ray.bridge"


class RayExecutor:
    """Runs cells on a Ray cluster.

    Args:
        context: The sweep; `settings.address` of its table names the cluster.

    Raises:
        BadExecutor: Ray is not installed, or no folder is shared.
    """

    def __init__(self, context: ExecutorContext) -> None:
        self._context = context
        address = context.table.settings.get(ADDRESS, "auto")
        if not isinstance(address, str):
            raise BadExecutor('executor.settings.address must be text, such as "10.0.0.5:6379"')
        if not context.table.shared:
            raise BadExecutor(
                "kind = 'ray' needs a folder that all nodes share; remove shared = false"
            )
        if not _has_ray():
            raise BadExecutor("kind = 'ray' needs Ray; run: pip install 'coding-agent-bench[ray]'")
        self._address = address
        self._bridge: BridgeProcess | None = None
        self._stopped = False

    @classmethod
    def of(cls, context: ExecutorContext) -> "RayExecutor":
        """Return the executor of a sweep."""
        return cls(context)

    async def run(self, job: CellJob) -> CellOutcome:
        """Return how one attempt ended."""
        if self._stopped:
            return CellOutcome(state="stopped", reason="the sweep was stopped")
        if self._bridge is None or self._bridge.ended:
            self._bridge = BridgeProcess(self._address, self._context.folder / LOG)
        bridge, answer = self._bridge, self._bridge.expect(job.cell_id)
        await bridge.tell(BridgeOrder(job=self._prepared(job)))
        limit_s = None
        if job.times is not None:  # the bridge keeps these times, unless it hangs
            limit_s = job.times.queue_s + job.times.limit_s + 3 * END_S
        try:
            async with asyncio.timeout(limit_s):
                return await answer
        except TimeoutError:
            reason = "the process that talks to Ray gives no answer"
            return CellOutcome(state="failed", reason=reason)

    async def cancel(self, cell_id: str) -> None:
        """End one attempt; returns when it has ended."""
        if self._bridge is not None:
            await self._bridge.end(cell_id)

    async def stop(self) -> None:
        """End all that run; returns when they have ended."""
        self._stopped = True
        if self._bridge is not None:
            await self._bridge.stop()

    async def end_left(self, cell_ids: Sequence[str]) -> None:
        """Return at once: Ray ends the actors of a sweep that is gone, and their workers then end their agents."""

    def _prepared(self, job: CellJob) -> CellJob:
        ours = self._context.environment
        environment = {name: ours[name] for name in self._context.table.environment if name in ours}
        path = [os.path.abspath(path) for path in sys.path]  # noqa: PTH100 - "" is the current folder
        return job.model_copy(update={"environment": environment, "search_path": path})


class BridgeProcess:
    """The process that talks to Ray. If it ends, so do all attempts that it was to run.

    Args:
        address: The cluster, as `ray.init` takes it.
        log: File to which its stderr is appended.
        read_s: How long it may take to read an order.
    """

    def __init__(self, address: str, log: Path, read_s: float = END_S) -> None:
        self._read_s = read_s
        self._loop = asyncio.get_running_loop()
        self._answers: dict[str, asyncio.Future[CellOutcome]] = {}
        self._writing = asyncio.Lock()
        self._log = log
        env = {name: value for name, value in os.environ.items() if not name.startswith("CAB_")}
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", _BRIDGE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**env, "PYTHONPATH": module_path()},
                # Ctrl-C is for the sweep alone, which then ends its cells in order.
                start_new_session=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin: IO[bytes] = self._process.stdin
        self._write(BridgeStart(address=address))
        self.ended = False
        """Whether it has."""
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def expect(self, cell_id: str) -> "asyncio.Future[CellOutcome]":
        """Return what will hold how an attempt ended."""
        return self._answers.setdefault(cell_id, self._loop.create_future())

    async def tell(self, order: BridgeOrder) -> None:
        """Give an order; if the process has ended, that shows by what `expect` returned.

        One that does not read its orders is killed.
        """
        async with self._writing:
            killer = self._loop.call_later(self._read_s, self._process.kill)
            try:
                await asyncio.to_thread(self._write, order)
            finally:
                killer.cancel()

    async def end(self, cell_id: str) -> None:
        """End an attempt; returns when it has ended."""
        if cell_id in self._answers:
            await self.tell(BridgeOrder(cancel=cell_id))
            await self._wait([self._answers[cell_id]])

    async def stop(self) -> None:
        """End all attempts, and the process."""
        async with self._writing:
            with suppress(OSError):
                self._stdin.close()
        await self._wait(list(self._answers.values()))

    async def _wait(self, answers: "list[asyncio.Future[CellOutcome]]") -> None:
        if answers:
            await asyncio.wait(answers, timeout=2 * END_S)
        if not all(answer.done() for answer in answers):
            self._process.kill()
            await asyncio.wait(answers)

    def _write(self, line: BaseModel) -> None:
        with suppress(OSError, ValueError):
            self._stdin.write(line.model_dump_json().encode() + b"\n")
            self._stdin.flush()

    def _read(self, stdout: IO[bytes]) -> None:
        """Read all answers, in a thread of its own."""
        # The last one: the sweep's loop is closed.
        with stdout, suppress(OSError, ValidationError, RuntimeError):
            for line in stdout:
                answer = BridgeAnswer.model_validate_json(line)
                self._loop.call_soon_threadsafe(self._take, answer.cell_id, answer.outcome)
        with suppress(OSError):
            self._stdin.close()
        try:
            code = self._process.wait(KILLED_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._take_end, code)

    def _take(self, cell_id: str, outcome: CellOutcome) -> None:
        answer = self._answers.pop(cell_id, None)
        if answer is not None and not answer.done():
            answer.set_result(outcome)

    def _take_end(self, code: int) -> None:
        self.ended = True
        reason = f"the process that talks to Ray ended with code {code}; {self._log} says why"
        for cell_id in list(self._answers):
            self._take(cell_id, CellOutcome(state="failed", reason=reason))


def _has_ray() -> bool:
    try:
        return importlib.util.find_spec("ray") is not None
    except ValueError:  # somebody put None in its place
        return False
