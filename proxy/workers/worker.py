"""One of several processes on one port; the parent starts it with its socket and a number."""

import asyncio
import socket
import sys
from pathlib import Path

from cab.proxy.accounting.shared_memory import SharedMemory
from cab.proxy.app import Proxy, WorkerContext, running_proxy
from cab.proxy.auth.held_secrets import make_unreadable
from cab.proxy.config import ProxySettings
from cab.proxy.errors import CabProxyError
from cab.proxy.ledger.scan import ResumePoint
from cab.proxy.lifecycle.inherited_sockets import InheritedSockets, listening_socket
from cab.proxy.logs import RedactingLogger, configure_logs, set_log_level
from cab.proxy.workers import event_loop
from cab.proxy.workers.ipc_client import RemoteCellRegistry
from cab.proxy.workers.stop_signals import stop_event

log = RedactingLogger()


def main() -> int:
    """Run a worker and return its exit code: 2 if it could not start, and the parent knows why."""
    make_unreadable()
    path, number, shared, *inherited = sys.argv[1:]
    sockets = InheritedSockets(*map(_inherited, inherited))
    return event_loop.run(_run(Path(path), int(number), SharedMemory(int(shared)), sockets))


def _inherited(descriptor: str) -> socket.socket | None:
    return listening_socket(int(descriptor)) if int(descriptor) >= 0 else None


async def _reload(proxy: Proxy, registry: RemoteCellRegistry) -> None:
    """Take over what the parent reloads."""
    while True:
        values, secrets = await registry.reloads.get()
        try:
            settings = ProxySettings.model_validate(values)
            await proxy.apply(settings, secrets)
            set_log_level(settings.log_level)
        except CabProxyError as error:
            log.error("reload_refused", reason=str(error), settings="as before")
        registry.notify("reloaded")


async def _run(path: Path, number: int, memory: SharedMemory, sockets: InheritedSockets) -> int:
    stop = stop_event()
    registry = await RemoteCellRegistry.connect(path, memory)
    async with asyncio.TaskGroup() as tasks:
        # Without the parent nobody would stop this process, and it could take no call.
        tasks.create_task(registry.listen()).add_done_callback(lambda _: stop.set())
        values, secrets, points = await registry.request("configuration", number)
        settings = ProxySettings.model_validate(values)
        registry.set_rules(settings.slot_wait_s, settings.on_unknown)
        configure_logs(settings.log_level, settings.log_format)
        try:
            resume = ResumePoint(*points[number]) if points[number] else None
            worker = WorkerContext(number, registry, resume, registry.offer)
            run = running_proxy(settings, worker=worker, sockets=sockets, **secrets)
            async with run as proxy:
                registry.notify("ready", proxy.control_url)
                event_loop.has_started()
                reloading = tasks.create_task(_reload(proxy, registry))
                await stop.wait()
                reloading.cancel()
        except CabProxyError as error:
            registry.notify("failed", str(error))
            return 2
        finally:
            await registry.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
