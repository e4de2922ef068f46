"""Watches an agent's processes while they run: secrets in their arguments and environments."""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress

from cab.adapters.doctor.leaks.encodings import SecretForms
from cab.adapters.doctor.leaks.finder import Leak, process_leaks
from cab.adapters.processes.tree import is_running
from cab.proxy.system.processes import children_of

_EVERY_S = 0.03


class ProcessWatch:
    """The processes and leaks that were seen so far.

    Args:
        secrets: What to look for.
    """

    def __init__(self, secrets: SecretForms) -> None:
        self._secrets = secrets
        self._seen: set[int] = set()
        self.leaks: set[Leak] = set()
        """Secrets in processes."""

    def look(self) -> None:
        """Look at all descendants of this process, and at those that were when they were first seen."""
        # A process whose parent has died may not be a descendant any more.
        known = {pid for pid in self._seen if is_running(pid)}
        self._seen = known | set(descendants([os.getpid(), *known]))
        for pid in self._seen:
            self.leaks.update(process_leaks(pid, self._secrets))

    def running(self) -> list[int]:
        """Return the processes that still run."""
        self.look()
        return sorted(filter(is_running, self._seen))


@asynccontextmanager
async def watch_processes(secrets: SecretForms) -> AsyncGenerator[ProcessWatch]:
    """Watch all processes of the run until the block ends.

    A process that lives less than some hundredths of a second may be missed; its arguments are usually
    in its parent's files or arguments too.

    Args:
        secrets: What to look for.
    """
    watch = ProcessWatch(secrets)
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
        for child in set(children_of(waiting.pop())) - known:
            known.add(child)
            yield child
            waiting.append(child)
