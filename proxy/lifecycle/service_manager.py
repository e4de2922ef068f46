"""Messages to the service manager that has started this program (sd_notify(3)): ready, reloading, stopping, alive.

Without the variable NOTIFY_SOCKET nobody is told anything.
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncGenerator, MutableMapping
from contextlib import asynccontextmanager

from cab.proxy.logs import RedactingLogger

_WAIT_S = 1.0

log = RedactingLogger()


class ServiceManager:
    """Tells the service manager what this program does.

    Args:
        address: Path of its datagram socket, or `@` and the name of an abstract one; None: there is none.
        watchdog_s: How long it takes a silent program for alive, in seconds; None: for ever.
    """

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        self._address = None if address is None else _address(address)
        self.watchdog_s = watchdog_s
        self._is_ready = asyncio.Event()

    @classmethod
    def of(cls, environment: MutableMapping[str, str]) -> "ServiceManager":
        """Return the service manager that an environment names.

        Its variables are taken out of the environment: they are not for the processes that this one starts.
        """
        address = environment.pop("NOTIFY_SOCKET", "") or None
        limit_us = environment.pop("WATCHDOG_USEC", "")
        pid = environment.pop("WATCHDOG_PID", "")
        is_ours = limit_us.isdecimal() and int(limit_us) > 0 and pid in ("", str(os.getpid()))
        return cls(address, int(limit_us) / 1e6 if is_ours and address else None)

    def tell(self, *assignments: str, wait_s: float = _WAIT_S) -> None:
        """Send a message; that it cannot be sent stops nothing.

        Args:
            assignments: Its lines.
            wait_s: How long to wait, and the event loop with it, while more messages wait than the system keeps.
        """
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(wait_s)
                sender.connect(self._address)
                sender.send("\n".join(assignments).encode())
        except OSError as error:
            log.warning("service_manager_not_told", reason=error.strerror or str(error))

    def ready(self, status: str) -> None:
        """Tell that calls are taken, or taken again after a reload."""
        self.tell("READY=1", f"STATUS={status}")
        self._is_ready.set()

    def reloading(self) -> None:
        """Tell that a reload has begun; `ready` tells its end."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Tell that no new calls are taken."""
        self.tell("STOPPING=1")

    @asynccontextmanager
    async def watched(self) -> AsyncGenerator[None]:
        """Tell that this program is alive for as long as its event loop turns, in the context, once it is ready."""
        if self.watchdog_s is None:
            yield
            return
        async with asyncio.TaskGroup() as tasks:
            alive = tasks.create_task(self._alive(self.watchdog_s / 2))
            try:
                yield
            finally:
                alive.cancel()

    async def _alive(self, every_s: float) -> None:
        await self._is_ready.wait()
        while True:
            self.tell("WATCHDOG=1", wait_s=0)
            await asyncio.sleep(every_s)


def _address(text: str) -> str:
    return f"\0{text[1:]}" if text.startswith("@") else text
