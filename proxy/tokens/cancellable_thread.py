"""Work in a thread of its own that can be told to stop, for what would hold up the event loop."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar, cast

T = TypeVar("T")

CheckCancelled = Callable[[], None]
"""Raises `ThreadCancelled` once nobody waits for the work any more; to be called between small steps."""


class ThreadCancelled(Exception):
    """Nobody waits for this work any more."""


async def run_in_cancellable_thread(work: Callable[[CheckCancelled], T], name: str) -> T:
    """Return what the work returns, done in a daemon thread.

    When the caller is cancelled, this returns at once, and the thread ends at its next step. A thread
    that is stuck in a step holds up neither later work nor the end of the process.

    Args:
        work: Takes the function that it must call between its steps.
        name: Of the thread.

    Raises:
        RuntimeError: The thread died of something that is no error of Python's, a panic in Rust say.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    nobody_waits = threading.Event()

    def go_on() -> None:
        if nobody_waits.is_set():
            raise ThreadCancelled

    def settle(result: T | None, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast("T", result))

    def run() -> None:
        result, error = None, None
        try:
            result = work(go_on)
        except Exception as raised:  # noqa: BLE001 - it is raised where it is awaited
            error = raised
        except BaseException as died:  # noqa: BLE001 - likewise, as something that ends no process
            error = RuntimeError(repr(died))
        # The loop may be closed by now: then there is nobody to tell.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        return await done
    finally:
        nobody_waits.set()
