"""Blocking work beside the event loop."""

import asyncio
import subprocess
from threading import Event

import pytest

from cab.adapters.processes.background import in_background
from tests.adapters.toyagents import script


async def test_result_and_error() -> None:
    """What the work returns is returned, and what it raises is raised."""

    def fail(_: Event) -> None:
        raise ZeroDivisionError

    assert await in_background(lambda stop: stop.is_set()) is False
    with pytest.raises(ZeroDivisionError):
        await in_background(fail)


async def test_limit() -> None:
    """Work that takes longer than its limit is told to stop, and is not waited for."""
    told: list[Event] = []

    def work(stop: Event) -> None:
        told.append(stop)
        stop.wait()

    with pytest.raises(TimeoutError):
        await in_background(work, limit_s=0.01)

    assert told[0].is_set()


async def test_cancelled() -> None:
    """A cancellation is not held up by the work."""
    began, stopped, loop = asyncio.Event(), Event(), asyncio.get_running_loop()

    def work(stop: Event) -> None:
        loop.call_soon_threadsafe(began.set)
        stop.wait()
        stopped.set()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(in_background(work))
        await began.wait()
        task.cancel()

    assert task.cancelled()
    assert await asyncio.to_thread(stopped.wait, 60)


def test_the_end_of_the_program_is_not_held_up() -> None:
    """Work that never returns does not keep a program from ending."""
    code = (
        "import asyncio, threading\n"
        "from cab.adapters.processes.background import in_background\n"
        "async def main():\n"
        "    try:\n"
        "        await in_background(lambda _: threading.Event().wait(), limit_s=0.1)\n"
        "    except TimeoutError:\n"
        "        print('over')\n"
        "asyncio.run(main())\n"
    )

    done = subprocess.run(
        script(code), capture_output=True, text=True, check=True, timeout=60, cwd="/"
    )

    assert done.stdout == "over\n"
