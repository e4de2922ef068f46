"""The event loop that the proxy's processes run on: libuv's where it is installed, else asyncio's own."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")

_OBJECTS_BETWEEN_COLLECTIONS = 5_000


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine as a program, and return what it returns."""
    # What an ordinary call leaves behind is freed by counting references; looking for circles at Python's own
    # pace would take a twentieth of the processor. A call that fails leaves some, with its bodies: what waits
    # to be found is bounded, and so is the pause in which it is freed.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, 20, 2)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def has_started() -> None:
    """Leave out what is there now when circles are looked for: it stays, and is most of all there is.

    Looking through the rest takes some milliseconds, so that it can be done often enough for memory to stay even.
    """
    gc.freeze()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - it is optional, and takes time to import
    except ImportError:
        return None
    return uvloop.new_event_loop
