"""What SIGTERM and the end of the terminal do to a command: as Ctrl-C, nothing is left running."""

import asyncio
import signal
from collections.abc import Coroutine, Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

_Result = TypeVar("_Result")


def run_until_terminated(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine and return its result; a signal cancels it, and it can end what it started.

    Raises:
        SystemExit: A signal came; the exit code is 128 and its number, as shells have it.
    """
    received: list[int] = []

    async def cancellable() -> _Result:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None

        def end(number: int) -> None:
            received.append(number)
            task.cancel()

        for number in _signals():
            loop.add_signal_handler(number, end, number)
        return await work

    try:
        return asyncio.run(cancellable())
    except asyncio.CancelledError:
        if not received:
            raise
        raise SystemExit(128 + received[0]) from None


@contextmanager
def ended_by_signals() -> Generator[None]:
    """Do the same for code without an event loop."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in _signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signals() -> Sequence[signal.Signals]:
    # What is ignored stays so: with nohup a command outlives its terminal.
    wanted = (signal.SIGTERM, signal.SIGHUP)
    return [number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN]
