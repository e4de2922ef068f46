"""The signals that ask a program to stop, on its event loop."""

import asyncio
import signal
from collections.abc import Callable


def on_stop_signal(handle: Callable[[signal.Signals], object]) -> None:
    """Call `handle` with each SIGINT and SIGTERM that comes while the running loop runs."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, handle, number)


def stop_event() -> asyncio.Event:
    """Return an event that is set when SIGINT or SIGTERM comes."""
    event = asyncio.Event()
    on_stop_signal(lambda _: event.set())
    return event
