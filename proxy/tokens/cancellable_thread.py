"""Work in a thread of its own that can be cancelled, for what would block the event loop."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar, cast

T = TypeVar("T")

CheckCancelled = Callable[[], None]
"""Raises `ThreadCancelled` once the caller has gone; the work calls it between small steps."""


class ThreadCancelled(Exception):
    """Nobody waits for the work any more."""


async def run_in_cancellable_thread(work: Callable[[CheckCancelled], T], name: str) -> T:
    """Return what the work returns, done in a daemon thread.

    When the caller is cancelled, this returns at once, and the thread ends at its next step. A thread
    that is stuck in a step holds up neither later work nor the end of the process.

    Args:
        work: Takes the function that it must call between its steps.
        name: Of the thread.

    Raises:
        RuntimeError: The thread died of something that is not a Python error, such as a panic in Rust.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    cancelled = threading.Event()

    def check_cancelled() -> None:
        if cancelled.is_set():
            raise ThreadCancelled

    def resolve(result: T | None, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast("T", result))

    def run() -> None:
        result, error = None, None
        try:
            result = work(check_cancelled)
        except Exception as raised:  # noqa: BLE001 - it is raised where it is awaited
            error = raised
        except BaseException as died:  # noqa: BLE001 - likewise, as something that ends no process
            error = RuntimeError(repr(died))
        # The loop may be closed by now: then nobody waits for the result.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(resolve, result, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        return await done
    finally:
        cancelled.set()
