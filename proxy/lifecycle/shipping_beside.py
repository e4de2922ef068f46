"""A process that ships the ledger while the proxy runs: what becomes of the sink touches no call."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import orjson

from cab.proxy.config import ProxySettings
from cab.proxy.ledger.shipping.sink import SinkTarget, sink_opener
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
    beside = _Beside(orjson.dumps(given) + b"\n")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(beside.keep_running())
        try:
            yield
        finally:
            await beside.stop()
            await running


class _Beside:
    """The process, and the ones that follow it if it dies.

    Args:
        given: What it reads first.
    """

    def __init__(self, given: bytes) -> None:
        self._given = given
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None

    async def keep_running(self) -> None:
        """Start it, again each time that it ends, until it is to stop."""
        failures = 0
        while not self._stopping.is_set():
            began_s = asyncio.get_running_loop().time()
            code = await self._run()
            if self._stopping.is_set():
                return
            if asyncio.get_running_loop().time() - began_s > _RESTART_S[-1]:
                failures = 0
            wait_s = _RESTART_S[min(failures, len(_RESTART_S) - 1)]
            failures += 1
            log.warning("shipping_process_ended", code=code, starts_again_in_s=wait_s)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait_s)

    async def _run(self) -> int | None:
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
        return await process.wait()

    async def stop(self) -> None:
        """End it in order, once it has sent what is there; kill it if it takes too long."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None or process.stdin is None:
            return
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _END_S)
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
