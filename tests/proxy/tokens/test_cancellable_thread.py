import asyncio
import subprocess
import sys
import threading

import pytest

from cab.proxy.tokens.cancellable_thread import CheckCancelled, run_in_cancellable_thread


async def test_work_is_done_elsewhere() -> None:
    """What the work returns comes back, and it was done in a daemon thread of that name."""
    here = threading.current_thread()

    def work(_check: CheckCancelled) -> threading.Thread:
        return threading.current_thread()

    there = await run_in_cancellable_thread(work, "cab-test")
    assert there is not here
    assert (there.name, there.daemon) == ("cab-test", True)


async def test_what_the_work_raises_is_raised() -> None:
    """An error in the thread is raised where it is awaited, as it is."""

    def work(_check: CheckCancelled) -> None:
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        await run_in_cancellable_thread(work, "cab-test")


async def test_a_dying_thread_ends_no_process() -> None:
    """What is not an ordinary error arrives as one: a panic in Rust must not end the proxy."""

    def work(_check: CheckCancelled) -> None:
        raise SystemExit(3)

    with pytest.raises(RuntimeError, match=r"SystemExit\(3\)"):
        await run_in_cancellable_thread(work, "cab-test")


async def test_the_loop_runs_on() -> None:
    """While a thread waits for the loop to do something, the loop does it."""
    seen = threading.Event()

    def work(_check: CheckCancelled) -> bool:
        return seen.wait(60)

    async with asyncio.TaskGroup() as tasks:
        done = tasks.create_task(run_in_cancellable_thread(work, "cab-test"))
        await asyncio.sleep(0)
        seen.set()
    assert done.result()


async def test_work_ends_when_nobody_waits() -> None:
    """A caller that gives up gets away at once, and the thread ends at its next step."""
    started, ended = threading.Event(), threading.Event()

    def work(check_cancelled: CheckCancelled) -> None:
        try:
            while True:
                check_cancelled()
                started.set()
        finally:
            ended.set()

    task = asyncio.get_running_loop().create_task(run_in_cancellable_thread(work, "cab-test"))
    await asyncio.to_thread(started.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, 60)


async def test_a_stuck_thread_holds_nothing_up() -> None:
    """While one thread is stuck in a step, later work is done."""
    free = threading.Event()

    def stuck(_check: CheckCancelled) -> None:
        free.wait(60)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await run_in_cancellable_thread(stuck, "cab-test")
    assert await run_in_cancellable_thread(lambda _check: "done", "cab-test") == "done"
    free.set()


def test_a_process_ends_in_spite_of_a_stuck_thread() -> None:
    """A thread that is stuck for ever does not keep the process, nor one that ends after the loop."""
    script = (
        "import asyncio, threading, time\n"
        "from cab.proxy.tokens.cancellable_thread import run_in_cancellable_thread as run\n"
        "loop_closed = threading.Event()\n"
        "def late(check):\n"
        "    loop_closed.wait()\n"
        "async def main():\n"
        "    for work in (late, lambda check: threading.Event().wait()):\n"
        "        try:\n"
        "            async with asyncio.timeout(0.01): await run(work, 'cab-test')\n"
        "        except TimeoutError: print('gave up')\n"
        "asyncio.run(main())\n"
        "before = threading.active_count()\n"
        "loop_closed.set()\n"
        "while threading.active_count() == before: time.sleep(0)\n"
        "print('end')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr) == ("gave up\ngave up\nend\n", "")
