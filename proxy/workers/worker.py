"""One of several processes on one port; the parent starts it with its socket and a number."""

import asyncio
import sys
from pathlib import Path

from cab.proxy.accounting.shared_memory import SharedMemory
from cab.proxy.app import WorkerContext, running_proxy
from cab.proxy.auth.held_secrets import make_unreadable
from cab.proxy.config import ProxySettings
from cab.proxy.errors import CabProxyError
from cab.proxy.ledger.scan import ResumePoint
from cab.proxy.logs import configure_logs
from cab.proxy.workers import event_loop
from cab.proxy.workers.ipc_client import RemoteCellRegistry
from cab.proxy.workers.stop_signals import stop_event


def main() -> int:
    """Run a worker and return its exit code: 2 if it could not start, and the parent knows why."""
    make_unreadable()
    socket, number, shared = sys.argv[1:]
    return event_loop.run(_run(Path(socket), int(number), SharedMemory(int(shared))))


async def _run(socket: Path, number: int, memory: SharedMemory) -> int:
    stop = stop_event()
    registry = await RemoteCellRegistry.connect(socket, memory)
    async with asyncio.TaskGroup() as tasks:
        # Without the parent nobody would stop this process, and it could take no call.
        tasks.create_task(registry.listen()).add_done_callback(lambda _: stop.set())
        values, secrets, points = await registry.request("configuration", number)
        settings = ProxySettings.model_validate(values)
        registry.slot_wait_s = settings.slot_wait_s
        configure_logs(settings.log_level, settings.log_format)
        try:
            resume = ResumePoint(*points[number]) if points[number] else None
            worker = WorkerContext(number, registry, resume, registry.offer)
            async with running_proxy(settings, worker=worker, **secrets) as proxy:
                registry.notify("ready", proxy.control_url)
                await stop.wait()
        except CabProxyError as error:
            registry.notify("failed", str(error))
            return 2
        finally:
            await registry.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
