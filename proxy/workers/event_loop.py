"""The event loop that the proxy's processes run on: libuv's where it is installed, else asyncio's own."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")

_OBJECTS_BETWEEN_COLLECTIONS = 20_000


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine as a program, and return what it returns."""
    # What a call leaves behind is freed by counting references; looking for circles at Python's own pace
    # would take a twentieth of the processor.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, 20, 50)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - it is optional, and takes time to import
    except ImportError:
        return None
    return uvloop.new_event_loop
