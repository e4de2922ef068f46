"""Runs an agent as a process of its own, with a time limit, and leaves no process behind."""

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cab.adapters.errors import RunFailed
from cab.adapters.processes import RUN_MARK, end_processes

GRACE_S = 5.0
"""How long an agent may take to end itself after SIGTERM."""


class Exit(NamedTuple):
    """How a process ended."""

    code: int
    """Exit code; 128 and the signal's number if a signal ended it, as shells say."""
    timed_out: bool
    """Whether the limit ended it."""
    duration_ms: float
    """From its start to its end."""


class AgentProcess:
    """A program that was started, and all that it starts. Made by `start_process`."""

    def __init__(self, process: asyncio.subprocess.Process, mark: str, grace_s: float) -> None:
        self._process = process
        self._mark = mark
        self._grace_s = grace_s
        self._began_ns = time.monotonic_ns()

    async def wait(self, limit_s: float) -> Exit:
        """Return how the program ended; past the limit its whole tree is ended.

        Raises:
            RunFailed: It could not be ended.
        """
        timed_out = False
        try:
            async with asyncio.timeout(limit_s):
                await self._process.wait()
        except TimeoutError:
            timed_out = True
            await self.end()
        code = await self._process.wait()
        duration_ms = (time.monotonic_ns() - self._began_ns) / 1e6
        return Exit(code if code >= 0 else 128 - code, timed_out, duration_ms)

    async def end(self) -> int:
        """End whatever still runs; return how many processes that were.

        Raises:
            RunFailed: Some could not be ended.
        """
        return await end_processes(self._process.pid, self._mark, self._grace_s)


async def start_process(  # noqa: PLR0913 - all of it describes one process
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdout: Path,
    stderr: Path,
    grace_s: float = GRACE_S,
) -> AgentProcess:
    """Return a program that has been started; the caller must `end` it, whatever happens.

    It leads a session of its own, reads nothing, and writes to files: a daemon that keeps them open
    holds nobody up.

    Args:
        argv: Program and arguments.
        cwd: Working folder.
        env: Its whole environment.
        stdout: File for its output.
        stderr: File for its messages.
        grace_s: Seconds between SIGTERM and SIGKILL when it is ended.

    Raises:
        RunFailed: The program cannot be started.
    """
    mark = secrets.token_hex(16)
    with stdout.open("wb") as out, stderr.open("wb") as err:
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                cwd=cwd,
                env={**env, RUN_MARK: mark},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except OSError as error:
            raise RunFailed(f"{argv[0]} cannot be started: {error.strerror}") from error
    return AgentProcess(process, mark, grace_s)
