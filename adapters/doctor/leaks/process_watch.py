"""Looks at an agent's processes while they run: what is in their arguments and environments."""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from cab.adapters.doctor.leaks.encodings import Forms
from cab.adapters.doctor.leaks.finder import Leak, process_leaks

_PROC = Path("/proc")
_EVERY_S = 0.03


class Watch:
    """What was seen so far.

    Args:
        secrets: What to look for.
    """

    def __init__(self, secrets: Forms) -> None:
        self._secrets = secrets
        self._seen: set[int] = set()
        self.leaks: set[Leak] = set()
        """Secrets in processes."""

    def look(self) -> None:
        """Look at all processes below this one, and at those that were when they were first seen."""
        # One whose parent has died is nobody's descendant any more.
        known = {pid for pid in self._seen if _runs(pid)}
        self._seen = known | set(descendants([os.getpid(), *known]))
        for pid in self._seen:
            self.leaks.update(process_leaks(pid, self._secrets))

    def alive(self) -> list[int]:
        """Return those that still run."""
        self.look()
        return sorted(filter(_runs, self._seen))


@asynccontextmanager
async def watched(secrets: Forms) -> AsyncGenerator[Watch]:
    """Look at all processes of the run until the block ends.

    One that lives shorter than some hundredths of a second may be missed; what it was started with
    usually stands in its parent's files or arguments too.

    Args:
        secrets: What to look for.
    """
    watch = Watch(secrets)
    over = asyncio.Event()
    failed: Exception | None = None

    async def keep_looking() -> None:
        while not over.is_set():
            watch.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(_EVERY_S):
                    await over.wait()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keep_looking())
        try:
            yield watch
        except Exception as error:  # noqa: BLE001 - raised below: a group would wrap it
            failed = error
        finally:
            watch.look()
            over.set()
    if failed is not None:
        raise failed


def descendants(pids: Iterable[int]) -> Iterator[int]:
    """Yield the processes below some others, children first."""
    waiting, known = list(pids), set[int]()
    while waiting:
        for child in set(_children(waiting.pop())) - known:
            known.add(child)
            yield child
            waiting.append(child)


def _children(pid: int) -> list[int]:
    """Return the children of a process; of each thread of it, as the kernel lists them."""
    found: list[int] = []
    # Processes and threads end while they are looked at; then even the folder of threads is gone.
    with suppress(OSError):
        for listing in (_PROC / str(pid) / "task").glob("*/children"):
            with suppress(OSError):
                found += [int(child) for child in listing.read_text().split()]
    return found


def _runs(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be asked for its exit code does not."""
    try:
        state = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state not in {b"Z", b"X"}
