"""The workers as processes: started, supervised, started again when they die, ended in order."""

import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from cab.proxy.accounting.admission import LocalCellRegistry
from cab.proxy.accounting.shared_memory import SharedMemory
from cab.proxy.app import ProxySecrets
from cab.proxy.clock import Clock
from cab.proxy.config import ProxySettings
from cab.proxy.errors import BadConfig
from cab.proxy.ledger.scan import ResumePoint
from cab.proxy.lifecycle.inherited_sockets import NO_SOCKETS, InheritedSockets
from cab.proxy.logs import RedactingLogger
from cab.proxy.workers.dead_worker import recover_dead_worker
from cab.proxy.workers.ipc_server import CellRegistryServer
from cab.proxy.workers.worker_slot import WorkerSlot

_RESTART_S = 0.2
_LONGEST_RESTART_S = 30.0
_RELOAD_S = 10.0
"""How long a reload waits until all workers have it."""
_LONGEST_SOCKET_PATH = 100
"""Linux takes 107 bytes."""

log = RedactingLogger()


class WorkerConfiguration(NamedTuple):
    """What the workers run."""

    settings: ProxySettings
    """With the port that they share."""
    secrets: ProxySecrets
    """Keys that the settings do not hold."""
    resume: Mapping[int, ResumePoint]
    """Where the recovery of a worker's chain may begin to read, by worker."""
    sockets: InheritedSockets = NO_SOCKETS
    """Listen already; all workers take connections from them."""


class WorkerProcesses:
    """The workers and the cell registry that they share.

    Args:
        configuration: What each of them runs.
        registry: State of all cells.
        clock: Stamps what the recovery of a dead worker's chain records.
        kill_after_s: How long after the grace time a worker that has not stopped is killed.
    """

    def __init__(
        self,
        configuration: WorkerConfiguration,
        registry: LocalCellRegistry,
        clock: Clock,
        kill_after_s: float,
    ) -> None:
        settings, secrets, resume, self._sockets = configuration
        self._settings = settings
        self._clock = clock
        self._kill_after_s = kill_after_s
        self._slots = [WorkerSlot(number) for number in range(settings.workers)]
        points = [list(resume.get(slot.number, ())) for slot in self._slots]
        self._sent = [settings.model_dump(mode="json"), secrets, points]
        self._memory = SharedMemory.create()
        self._server = CellRegistryServer(registry, self._slots, self._sent, self._memory)
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()

    @property
    def pids(self) -> dict[int, int]:
        """Process ids of the workers that run, by their numbers."""
        return {n: p.pid for n, p in self._processes.items() if p.returncode is None}

    async def reload(self, settings: ProxySettings, secrets: ProxySecrets) -> None:
        """Have all workers take over settings, in which nothing is changed that needs a restart.

        One that hangs, or is just starting, has the new ones as soon as it goes on.
        """
        self._settings = settings
        self._sent[:2] = settings.model_dump(mode="json"), secrets
        told = [slot for slot in self._slots if slot.tell is not None]
        for slot in told:
            slot.reloaded.clear()
            if slot.tell is not None:
                slot.tell("reload", *self._sent[:2])
        try:
            async with asyncio.timeout(_RELOAD_S):
                for slot in told:
                    await slot.reloaded.wait()
        except TimeoutError:
            late = [slot.number for slot in told if not slot.reloaded.is_set()]
            log.warning("workers_late", workers=late, after_s=_RELOAD_S)

    @asynccontextmanager
    async def running(self, watchdog_s: float | None = None) -> AsyncGenerator[str]:
        """Run the workers while the context is open, and give the address of their control API.

        Args:
            watchdog_s: A worker that says nothing for so long is killed, and started again; None: none is.

        Raises:
            BadConfig: A worker cannot start.
        """
        failure: BadConfig | None = None
        with closing(self._memory), _socket_folder() as folder:
            path = folder / "cells"
            async with self._server.listening(path), asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(self._supervise(slot, path)) for slot in self._slots]
                watching = tasks.create_task(self._watch(watchdog_s))
                try:
                    first, *_ = await asyncio.gather(*(slot.ready for slot in self._slots))
                    yield first
                except BadConfig as error:
                    failure = error  # raised in here, the group would wrap it
                finally:
                    watching.cancel()
                    late = self._stop()
                    await asyncio.wait(running)
                    late.cancel()
        if failure is not None:
            raise failure

    async def _watch(self, limit_s: float | None) -> None:
        """Kill workers whose event loops do not turn."""
        while limit_s is not None:
            asked, asked_s = (
                [slot for slot in self._slots if slot.tell is not None],
                time.monotonic(),
            )
            for slot in asked:
                slot.heard = False
                if slot.tell is not None:
                    slot.tell("ping")
            await asyncio.sleep(limit_s)
            if time.monotonic() - asked_s > 2 * limit_s:
                continue  # this process stood still, and answers may be here
            for slot in asked:
                if not slot.heard and slot.tell is not None and slot.kill is not None:
                    log.error("worker_hangs", worker=slot.number, after_s=limit_s)
                    slot.kill()

    async def _supervise(self, slot: WorkerSlot, path: Path) -> None:
        """Run one worker, again and again, until the proxy stops."""
        delay_s = _RESTART_S
        while await self._run_once(slot, path):
            was_ready = slot.ready.done() and slot.ready.exception() is None
            delay_s = _RESTART_S if was_ready else min(2 * delay_s, _LONGEST_RESTART_S)
            await self._pause(delay_s)
            slot.ready = asyncio.get_running_loop().create_future()

    async def _run_once(self, slot: WorkerSlot, path: Path) -> bool:
        """Run a worker until it ends; return whether to start it again."""
        if self._stopping.is_set():
            return False
        first = slot.number not in self._processes
        shared = self._memory.descriptor
        inherited = self._inherited(slot)
        told = str(path), str(slot.number), str(shared), *map(str, inherited)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "cab.proxy.workers.worker", *told),
            pass_fds=(shared, *(number for number in inherited if number >= 0)),
            process_group=0,  # Ctrl-C is for the parent, which then ends the workers in order
        )
        self._processes[slot.number] = process
        slot.kill = process.kill
        if self._stopping.is_set():
            process.send_signal(signal.SIGTERM)
        code = await process.wait()
        slot.kill = None
        await slot.gone.wait()
        await self._recover(slot)
        if not slot.ready.done():
            reason = f"worker {slot.number} ended with exit code {code} before it could start"
            slot.ready.set_exception(BadConfig(reason))
        failed = slot.ready.exception()
        if self._stopping.is_set() or (first and failed is not None):
            return False
        log.error("worker_ended", worker=slot.number, exit_code=code, reason=str(failed or ""))
        return True

    def _inherited(self, slot: WorkerSlot) -> tuple[int, int]:
        """Return the descriptors of the sockets that a worker takes connections from; -1: none."""
        agents, control = self._sockets
        mine = agents, control if slot.number == 0 else None
        first, second = (-1 if each is None else each.fileno() for each in mine)
        return first, second

    async def _recover(self, slot: WorkerSlot) -> None:
        """End the calls that a worker had in flight which ended without telling all that it knew.

        Its exit code does not say that: one that has lost its connection to here ends in order.
        """
        folder, number = self._settings.ledger, slot.number
        while slot.calls or slot.held or slot.seals:
            wanted = set(slot.calls), self._server.untold(slot)
            try:
                found = await asyncio.to_thread(
                    recover_dead_worker, folder, number, self._clock, *wanted
                )
            except BadConfig as error:
                log.error("not_recovered", worker=number, reason=str(error))
                if self._stopping.is_set():
                    return
                await self._pause(_RESTART_S)
            else:
                self._server.end_calls(slot, found)

    def _stop(self) -> asyncio.TimerHandle:
        """End the workers, and kill those that still run some time after the grace time."""
        self._stopping.set()
        for process in self._processes.values():
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        limit_s = self._settings.grace_s + self._kill_after_s
        return asyncio.get_running_loop().call_later(limit_s, self._kill)

    def _kill(self) -> None:
        for number, process in self._processes.items():
            if process.returncode is None:
                log.error("worker_killed", worker=number, pid=process.pid)
                process.kill()

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until the proxy stops."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


@contextmanager
def _socket_folder() -> Generator[Path]:
    """Make a folder that only this user can enter, with a path short enough for a socket."""
    usual = len(tempfile.gettempdir()) < _LONGEST_SOCKET_PATH - 30
    with tempfile.TemporaryDirectory(prefix="cab-", dir=None if usual else "/tmp") as folder:
        yield Path(folder)
