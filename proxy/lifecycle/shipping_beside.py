"""A process that ships the ledger while the proxy runs: what becomes of the sink touches no call."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import orjson

from cab.proxy.config import ProxySettings
from cab.proxy.ledger.shipping.sink import SinkTarget, sink_opener
from cab.proxy.ledger.shipping.status_file import FILE_NAME
from cab.proxy.logs import RedactingLogger

_RESTART_S = (0.5, 2.0, 10.0, 30.0)
_END_S = 15.0
"""How long it may take to end: it sends the last lines for 10 s at most."""

log = RedactingLogger()


@asynccontextmanager
async def shipping_beside(settings: ProxySettings, password: str | None) -> AsyncGenerator[None]:
    """Ship the ledger to `settings.ship_to`; leave the context when nothing more is written to it.

    Args:
        settings: Of the proxy; without `ship_to` nothing is done.
        password: Of the database; None leaves it to a passfile.

    Raises:
        BadConfig: No sink takes such a URL, it holds a password, or a package is missing.
    """
    if settings.ship_to is None:
        yield
        return
    sink_opener(SinkTarget(settings.ship_to, password))
    given = {
        "ledger": str(settings.ledger.absolute()),
        "url": settings.ship_to,
        "name": settings.ledger.absolute().name,
        "password": password,
        "log_level": settings.log_level,
        "log_format": settings.log_format,
    }
    beside = _Beside(orjson.dumps(given) + b"\n", settings.ledger / FILE_NAME)
    failure: Exception | None = None
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(beside.keep_running())
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the group would wrap it; it is raised below
            failure = error
        finally:
            beside.stop()
            await asyncio.wait([running], timeout=_END_S)
            beside.kill()
    if failure is not None:
        raise failure


class _Beside:
    """The process, and the ones that follow it if it dies.

    Args:
        given: What it reads first.
        status: Where it says how it goes.
    """

    def __init__(self, given: bytes, status: Path) -> None:
        self._given = given
        self._status = status
        self._stopping = asyncio.Event()
        self._is_killed = False
        self._process: asyncio.subprocess.Process | None = None

    async def keep_running(self) -> None:
        """Start it, again each time that it ends, until it is to stop and has sent what there is."""
        failures = 0
        while not self._stopping.is_set():
            began_s = asyncio.get_running_loop().time()
            code = await self._run()
            if self._stopping.is_set() and code == 0:
                return
            if asyncio.get_running_loop().time() - began_s > _RESTART_S[-1]:
                failures = 0
            wait_s = _RESTART_S[min(failures, len(_RESTART_S) - 1)]
            failures += 1
            log.warning("shipping_process_ended", code=code, starts_again_in_s=wait_s)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait_s)
        if not self._is_killed:
            await self._run()  # it had died: the last lines are sent all the same

    async def _run(self) -> int | None:
        with suppress(OSError):
            self._status.unlink()  # of a process that is no more
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "cab.proxy.lifecycle.shipping_process"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:  # too many processes, say
            log.warning("shipping_process_not_started", reason=error.strerror)
            return None
        self._process = process
        assert process.stdin is not None
        process.stdin.write(self._given)
        if self._stopping.is_set():
            process.stdin.close()
        return await process.wait()

    def stop(self) -> None:
        """Have it end in order, once it has sent what is there."""
        self._stopping.set()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def kill(self) -> None:
        """End it now, if it has not ended."""
        self._is_killed = True
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
