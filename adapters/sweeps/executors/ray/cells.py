"""The attempts of a sweep on a Ray cluster: deadlines, signs of life, and the end of each."""

import asyncio
import importlib
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from cab.adapters.processes.cleanup import module_path
from cab.adapters.sweeps.executors.command import CPUS, MEMORY_BYTES
from cab.adapters.sweeps.executors.local import LocalExecutor
from cab.adapters.sweeps.executors.messages import BEATS
from cab.adapters.sweeps.executors.processes import END_S
from cab.adapters.sweeps.executors.protocol import CellJob, CellOutcome
from cab.adapters.sweeps.executors.running import RunningAttempt, RunningAttempts
from cab.adapters.sweeps.placement import LOST_AFTER_S, QUEUE_S, CellTimes

_CONNECT_S = 60.0
_REASON_CHARS = 500


class CellActor:
    """What Ray starts on a node for one attempt."""

    def __init__(self) -> None:
        self._executor = LocalExecutor()

    async def node(self) -> tuple[str, str]:
        """Return address and id of the node; also a sign of life."""
        ray = _ray()
        context = ray.get_runtime_context()
        return str(ray.util.get_node_ip_address()), str(context.get_node_id())

    async def run(self, job: str) -> str:
        """Run a job; both are JSON."""
        outcome = await self._executor.run(CellJob.model_validate_json(job))
        return outcome.model_dump_json()

    async def stop(self) -> None:
        """End the cell, its agent first."""
        await self._executor.stop()


class _Lost(Exception):
    """An actor that is not waited for any longer; its message says why."""


@dataclass(slots=True)
class _RayAttempt(RunningAttempt):
    """One in an actor."""

    job: CellJob
    times: CellTimes
    node: str | None = None


class RayCells:
    """The attempts that run on a cluster: an actor for each starts the worker on its node, as `local` does here.

    Ray finds a node that has what the cell asks for. When to give up, and what runs again, the sweep decides alone:
    Ray restarts nothing.

    Args:
        address: The cluster, as `ray.init` takes it.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._attempts = RunningAttempts[_RayAttempt]()
        self._node_ids: dict[str, str] = {}
        self._connecting = asyncio.Lock()
        self._actors: Any = None

    async def run(self, job: CellJob) -> CellOutcome:
        """Return how one attempt ended."""
        times = job.times or CellTimes(
            queue_s=QUEUE_S, limit_s=job.timeout_s + END_S, lost_after_s=LOST_AFTER_S
        )
        with self._attempts.entered(job.cell_id, _RayAttempt(job, times)) as attempt:
            outcome = await self._outcome(attempt)
        if outcome.state == "failed" and attempt.node:
            reason = f"node {attempt.node}: {outcome.reason}"
            outcome = outcome.model_copy(update={"reason": reason})
        return outcome.model_copy(update={"node": attempt.node})

    async def cancel(self, cell_id: str) -> None:
        """End one attempt; returns when it has ended."""
        await self._attempts.cancel(cell_id)

    async def stop(self) -> None:
        """End all that run; returns when they have ended."""
        await self._attempts.stop()

    async def _outcome(self, attempt: _RayAttempt) -> CellOutcome:
        try:
            actor = await self._actor(attempt.job)
        # Ray raises errors of many kinds for a cluster that cannot be reached.
        except Exception as error:  # noqa: BLE001
            return CellOutcome(state="failed", reason=f"Ray cannot start it: {_first_line(error)}")
        try:
            return await self._talk(attempt, actor)
        except _Lost as error:
            return CellOutcome(state="failed", reason=str(error))
        except _ray().exceptions.RayError as error:
            if attempt.ending.is_set():
                return CellOutcome(state="stopped", reason="the sweep was stopped")
            return CellOutcome(state="failed", reason=_first_line(error))
        finally:
            # Its worker sees the end of its input, and ends its agent.
            await asyncio.to_thread(_ray().kill, actor)

    async def _talk(self, attempt: _RayAttempt, actor: Any) -> CellOutcome:  # noqa: ANN401 - Ray's handle
        times = attempt.times
        found = _future(actor.node.remote())
        await _first_of(found, attempt.ending, times.queue_s)
        if not found.done():
            found.cancel()
            if attempt.ending.is_set():
                return CellOutcome(state="stopped", reason="the sweep was stopped")
            raise _Lost(f"no node took it within {times.queue_s:g} s")
        address, node_id = found.result()
        attempt.node = f"{address}-{node_id[:8]}"
        self._node_ids[attempt.node] = node_id
        job = attempt.job.model_copy(update={"node": attempt.node})
        ended = _future(actor.run.remote(job.model_dump_json()))
        try:
            await self._wait(attempt, actor, ended)
            return CellOutcome.model_validate_json(ended.result())
        finally:
            ended.cancel()

    async def _wait(self, attempt: _RayAttempt, actor: Any, ended: asyncio.Future[Any]) -> None:  # noqa: ANN401
        """Wait for the end of a cell, for signs of life, and for the word to end it."""
        times, silent = attempt.times, 0
        interval_s, end_s = times.lost_after_s / BEATS, time.monotonic() + times.limit_s
        while not ended.done() and not attempt.ending.is_set():
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                raise _Lost(f"its cell did not end within {times.limit_s:g} s")
            await _first_of(ended, attempt.ending, min(interval_s, left_s))
            if ended.done() or attempt.ending.is_set():
                break
            silent = 0 if await _in_time(_future(actor.node.remote()), interval_s) else silent + 1
            if silent > BEATS:
                raise _Lost(f"no sign of life for {times.lost_after_s:g} s")
        if not ended.done():
            actor.stop.remote()
            await asyncio.wait({ended}, timeout=END_S)
            if not ended.done():
                raise _Lost(f"it did not end within {END_S:g} s after it was told to")

    async def _actor(self, job: CellJob) -> Any:  # noqa: ANN401 - Ray's handle
        async with self._connecting:
            if self._actors is None:
                async with asyncio.timeout(_CONNECT_S):
                    # In a thread, for it waits; and only there it leaves the sweep's signal handlers alone.
                    self._actors = await asyncio.to_thread(self._connect)
        asked = job.resources
        avoid = [self._node_ids[name] for name in job.avoid if name in self._node_ids]
        return self._actors.options(
            num_cpus=asked.cpus or CPUS,
            memory=asked.memory_bytes or MEMORY_BYTES,
            num_gpus=asked.gpus or 0,
            max_restarts=0,
            max_task_retries=0,
            label_selector={"ray.io/node-id": f"!in({','.join(avoid)})"} if avoid else None,
            runtime_env={"env_vars": {"PYTHONPATH": module_path()}},
        ).remote()

    def _connect(self) -> Any:  # noqa: ANN401 - Ray's class
        ray = _ray()
        if not ray.is_initialized():
            ray.init(self._address, log_to_driver=False, configure_logging=False)
        return ray.remote(CellActor)


def _future(ref: Any) -> asyncio.Future[Any]:  # noqa: ANN401 - Ray's reference
    return asyncio.wrap_future(ref.future())


async def _first_of(future: asyncio.Future[Any], event: asyncio.Event, limit_s: float) -> None:
    """Wait for a result, an event, or the end of a time, whatever is first."""
    async with asyncio.TaskGroup() as group:
        told = group.create_task(event.wait())
        await asyncio.wait({future, told}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()


async def _in_time(answer: Awaitable[object], limit_s: float) -> bool:
    try:
        async with asyncio.timeout(limit_s):
            await answer
    except TimeoutError:
        return False
    return True


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:_REASON_CHARS]


def _ray() -> Any:  # noqa: ANN401 - it has no complete types
    return importlib.import_module("ray")
