"""The workers as processes: started, watched, started again when they die, and ended in order."""

import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from cab.proxy.accounting.admission import LocalCellRegistry
from cab.proxy.clock import Clock
from cab.proxy.config import ProxySettings
from cab.proxy.errors import BadConfig
from cab.proxy.logs import RedactingLogger
from cab.proxy.workers.dead_worker import recover_dead_worker
from cab.proxy.workers.ipc_server import CellRegistryServer, WorkerSlot

_RESTART_S = 0.2
_LONGEST_RESTART_S = 30.0
_LONGEST_SOCKET_PATH = 100
"""Linux takes 107 bytes."""

log = RedactingLogger()


class WorkerProcesses:
    """The workers and their book.

    Args:
        settings: What each of them runs, with the port they share.
        book: The book they ask.
        clock: Stamps what the recovery of a dead worker's chain records.
        kill_after_s: How long after the grace time a worker that has not stopped is killed.
    """

    def __init__(
        self, settings: ProxySettings, book: LocalCellRegistry, clock: Clock, kill_after_s: float
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._kill_after_s = kill_after_s
        self._seats = [WorkerSlot(number) for number in range(settings.workers)]
        self._server = CellRegistryServer(book, self._seats, settings.model_dump(mode="json"))
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()

    @property
    def pids(self) -> dict[int, int]:
        """Process ids of the workers that run, by their numbers."""
        return {n: p.pid for n, p in self._processes.items() if p.returncode is None}

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[str]:
        """Run the workers while the context is open, and give the address of their control API.

        Raises:
            BadConfig: A worker cannot start.
        """
        failure: BadConfig | None = None
        with _socket_folder() as folder:
            path = folder / "book"
            async with self._server.listening(path), asyncio.TaskGroup() as tasks:
                keepers = [tasks.create_task(self._keep(seat, path)) for seat in self._seats]
                try:
                    first, *_ = await asyncio.gather(*(seat.ready for seat in self._seats))
                    yield first
                except BadConfig as error:
                    failure = error  # raised in here, the group would wrap it
                finally:
                    late = self._stop()
                    await asyncio.wait(keepers)
                    late.cancel()
        if failure is not None:
            raise failure

    async def _keep(self, seat: WorkerSlot, path: Path) -> None:
        """Run one worker, again and again, until the proxy stops."""
        delay_s = _RESTART_S
        while await self._run_once(seat, path):
            was_ready = seat.ready.done() and seat.ready.exception() is None
            delay_s = _RESTART_S if was_ready else min(2 * delay_s, _LONGEST_RESTART_S)
            await self._pause(delay_s)
            seat.ready = asyncio.get_running_loop().create_future()

    async def _run_once(self, seat: WorkerSlot, path: Path) -> bool:
        """Run a worker until it ends; return whether another one is to take its place."""
        if self._stopping.is_set():
            return False
        first = seat.number not in self._processes
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "cab.proxy.workers.worker", str(path), str(seat.number)),
            process_group=0,  # Ctrl-C is for the parent, which then ends the workers in order
        )
        self._processes[seat.number] = process
        if self._stopping.is_set():
            process.send_signal(signal.SIGTERM)
        code = await process.wait()
        await seat.gone.wait()
        await self._settle(seat, code)
        if not seat.ready.done():
            reason = f"worker {seat.number} ended with exit code {code} before it could start"
            seat.ready.set_exception(BadConfig(reason))
        failed = seat.ready.exception()
        if self._stopping.is_set() or (first and failed is not None):
            return False
        log.error("worker_ended", worker=seat.number, exit_code=code, reason=str(failed or ""))
        return True

    async def _settle(self, seat: WorkerSlot, code: int) -> None:
        """End what a dead worker has left open."""
        folder, number = self._settings.ledger, seat.number
        while code != 0 and (seat.calls or seat.seals):
            try:
                words = await asyncio.to_thread(
                    recover_dead_worker, folder, number, self._clock, set(seat.calls)
                )
            except BadConfig as error:
                log.error("not_recovered", worker=number, reason=str(error))
                if self._stopping.is_set():
                    return
                await self._pause(_RESTART_S)
            else:
                self._server.settle(seat, *words)

    def _stop(self) -> asyncio.TimerHandle:
        """Tell the workers to stop, and kill those that have not some time after the grace time."""
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
