"""One of several processes on one port; `workers` starts it with the book's socket and a number."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from cab.proxy.app import WorkerContext, running_proxy
from cab.proxy.config import ProxySettings
from cab.proxy.errors import CabProxyError
from cab.proxy.logs import configure_logs
from cab.proxy.workers.ipc_client import RemoteCellRegistry


def main() -> int:
    """Run a worker and return its exit code: 2 if it could not start, and the parent knows why."""
    socket, number = sys.argv[1:]
    return asyncio.run(_work(Path(socket), int(number)))


async def _work(socket: Path, number: int) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    book = await RemoteCellRegistry.connect(socket)
    async with asyncio.TaskGroup() as tasks:
        # Without the parent nobody would stop this process, and it could take no call.
        tasks.create_task(book.listen()).add_done_callback(lambda _: stop.set())
        settings = ProxySettings.model_validate(await book.ask("hello", number))
        configure_logs(settings.log_level, settings.log_format)
        try:
            await _serve(settings, WorkerContext(number, book), stop, book)
        except CabProxyError as error:
            book.tell("failed", str(error))
            return 2
        finally:
            await book.close()
    return 0


async def _serve(
    settings: ProxySettings, place: WorkerContext, stop: asyncio.Event, book: RemoteCellRegistry
) -> None:
    async with running_proxy(
        settings,
        upstream_key=os.environ.get(settings.upstream_key_env) or None,
        route_keys=os.environ,
        signing_key=os.environ.get("CAB_SIGNING_KEY") or None,
        admin_token=os.environ.get("CAB_ADMIN_TOKEN") or None,
        worker=place,
    ) as proxy:
        book.tell("ready", proxy.control_url)
        await stop.wait()


if __name__ == "__main__":
    sys.exit(main())
