"""SIGTERM ends a long job as Ctrl-C does: what it started is ended with it."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_until_stopped(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine and return its result. SIGTERM cancels it.

    Raises:
        SystemExit: SIGTERM came; the exit code is 143.
    """
    try:
        return asyncio.run(_cancellable(work))
    except asyncio.CancelledError:
        raise SystemExit(128 + signal.SIGTERM) from None


async def _cancellable(work: Coroutine[Any, Any, Result]) -> Result:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work
