"""Blocking work on what an agent left, beside the event loop: nobody waits for it once it is cancelled."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from typing import TypeVar

_Result = TypeVar("_Result")


async def in_background(work: Callable[[Event], _Result], limit_s: float | None = None) -> _Result:
    """Return the result of work that blocks.

    It runs on a thread of its own that does not hold up the end of the program: a file system that
    never answers would. After a cancellation, or the limit, the work may go on for a moment.

    Args:
        work: Is given an event that is set when its result is not wanted any more.
        limit_s: Seconds that it may take; None is no limit.

    Raises:
        TimeoutError: It took longer.
    """
    stop, loop = Event(), asyncio.get_running_loop()
    future: asyncio.Future[_Result] = loop.create_future()

    def settle(result: _Result | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # there is one where no error is

    def run() -> None:
        result, error = None, None
        try:
            result = work(stop)
        except BaseException as caught:  # noqa: BLE001 - it belongs to whoever waits
            error = caught
        with suppress(RuntimeError):  # the loop may have ended
            loop.call_soon_threadsafe(settle, result, error)

    Thread(target=run, daemon=True).start()
    try:
        async with asyncio.timeout(limit_s):
            return await future
    finally:
        stop.set()
