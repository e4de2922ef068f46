"""Ends the wait for a container whose folders take more disk than they may: no engine limits a mounted folder."""

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from cab.adapters.errors import RunFailed
from cab.adapters.processes.agent_process import Exit
from cab.adapters.processes.background import in_background

_REST_S = 0.5
"""Least time between two looks."""
_SHARE = 4
"""How many times as long as a look took it waits for the next one: many files must not take a processor."""
_LOOK_S = 120.0


async def within_disk(
    waiting: Coroutine[Any, Any, Exit],
    folders: Sequence[Path],
    limit: int | None,
    end: Callable[[], Awaitable[None]],
) -> Exit:
    """Return how a program ended; one whose folders take too much disk is ended.

    Args:
        waiting: Waits for the program.
        folders: The folders.
        limit: Bytes of disk; None is no limit.
        end: Ends the program.

    Raises:
        RunFailed: The program could not be ended, or `du` cannot be started.
    """
    if limit is None or not folders:
        return await waiting
    over: list[bool] = []

    async def watch() -> None:
        await disk_exceeded(folders, limit)
        over.append(True)
        await end()

    try:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch())
            ended = await waiting
            watching.cancel()
    except BaseExceptionGroup as several:  # of one thing, as the group ends the other
        raise several.exceptions[0] from None
    return ended._replace(limit="disk") if over else ended


async def disk_exceeded(folders: Sequence[Path], limit: int) -> None:
    """Return once some folders together take more disk than a limit.

    Args:
        folders: The folders; links are not followed, and no other file system is entered.
        limit: Bytes.

    Raises:
        RunFailed: `du` cannot be started.
    """
    while True:  # no event comes from a file system that another process fills
        began_s = time.monotonic()
        if await disk_used(folders) > limit:
            return
        await asyncio.sleep(max(_REST_S, _SHARE * (time.monotonic() - began_s)))


async def disk_used(folders: Sequence[Path]) -> int:
    """Return the bytes of disk that some folders take; more than any limit if that takes too long to find out.

    Raises:
        RunFailed: `du` cannot be started.
    """
    # On a thread: a child of the event loop whose start is cancelled is reported as one that was lost.
    return await in_background(lambda _: _disk_used(folders))


def _disk_used(folders: Sequence[Path]) -> int:
    try:
        # A program, as it goes down however deep an agent has nested its folders.
        done = subprocess.run(
            ("du", "-s", "-x", "-k", "--", *map(str, folders)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            timeout=_LOOK_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1 << 62  # nobody makes so many files by chance
    except OSError as error:
        raise RunFailed(f"du cannot be started: {error.strerror}") from error
    amounts = (line.split(b"\t")[0] for line in done.stdout.splitlines())
    return sum(1024 * int(each) for each in amounts if each.isdigit())
