"""The bound on what the folders of a container take of the disk."""

import asyncio
import os
from pathlib import Path

import pytest

from cab.adapters.errors import RunFailed
from cab.adapters.processes.agent_process import Exit
from cab.adapters.sandboxes.disk_watch import disk_used, within_disk

MIB = 1 << 20
DONE = Exit(137, timed_out=False, duration_ms=1.0)


async def test_what_counts(tmp_path: Path) -> None:
    """Written bytes count, however deep; a hole in a file, and what a link leads to, do not."""
    with (tmp_path / "sparse").open("wb") as sparse:
        sparse.truncate(1 << 40)
    (tmp_path / "link").symlink_to("/usr")
    deep = last = tmp_path
    for _ in range(40):
        deep /= "d" * 100  # the path is longer than a path may be
        if len(str(deep)) < 4000:
            deep.mkdir()
            last = deep
    (last / "full").write_bytes(os.urandom(2 * MIB))

    assert 2 * MIB <= await disk_used([tmp_path]) < 4 * MIB


async def test_one_that_takes_too_much_is_ended(tmp_path: Path) -> None:
    """A program whose folder grows above the bound is ended, and its exit says why."""
    ended = asyncio.Event()

    async def program() -> Exit:
        (tmp_path / "full").write_bytes(os.urandom(2 * MIB))
        await ended.wait()
        return DONE

    async def end() -> None:
        ended.set()

    assert await within_disk(program(), [tmp_path], MIB, end) == DONE._replace(limit="disk")


async def test_one_that_does_not(tmp_path: Path) -> None:
    """Of a program below the bound, or without one, the exit is as it was; its failure is its own."""

    async def program() -> Exit:
        return DONE

    async def failing() -> Exit:
        raise RunFailed("it cannot be ended")

    async def end() -> None:
        raise AssertionError

    assert await within_disk(program(), [tmp_path], MIB, end) is not None
    assert await within_disk(program(), [tmp_path], None, end) == DONE
    with pytest.raises(RunFailed, match="it cannot be ended"):
        await within_disk(failing(), [tmp_path], MIB, end)
