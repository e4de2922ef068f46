"""Runs the commands of a check, which are the agent's code too; what a check reports.

A command gets what an agent gets: a session and an environment of its own, resource limits, a time
limit, and the end of all that it started.
"""

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cab.adapters.processes.agent_process import Exit, new_mark, start_process
from cab.adapters.processes.cleanup import CleanupPlan

TAIL_BYTES = 1 << 20
"""How much of the output is kept, from its end."""
OUTPUT_WAIT_S = 2.0
"""How long to wait for output of a process that cannot be found and holds a pipe open."""
GRACE_S = 1.0
"""How long a command may take to end itself after SIGTERM."""


class CommandResult(NamedTuple):
    """How a command ended."""

    exit_code: int | None
    """None if it was stopped at its time limit."""
    stdout: str
    stderr: str


class CheckVerdict(NamedTuple):
    """What one part of a check reports."""

    exit_code: int | None
    """0 if it passes; None if it was stopped at the time limit."""
    stdout: str
    """Its output, or a report of it."""
    stderr: str
    reason: str | None
    """Why it does not pass; None if it does."""
    share: float | None = None
    """Share of it that passes, where that can be counted."""


class CheckDeadline:
    """The time limit of a whole check.

    Args:
        limit_s: Seconds from now.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._end_ns = time.monotonic_ns() + int(limit_s * 1e9)

    def left_s(self) -> float:
        """Return the remaining seconds, at least 0."""
        return max(0.0, (self._end_ns - time.monotonic_ns()) / 1e9)


class CheckRunner:
    """Runs the commands of one check.

    Args:
        limit_s: Time limit of the whole check.
        rlimits: Resource limits of each command, as of the agent; None sets none.
    """

    def __init__(self, limit_s: float, rlimits: Mapping[str, int] | None = None) -> None:
        self.deadline = CheckDeadline(limit_s)
        self._rlimits = rlimits
        self._mark = new_mark()

    @property
    def cleanup(self) -> CleanupPlan:
        """What to end if this process is killed meanwhile."""
        return CleanupPlan(mark=self._mark)

    async def run(
        self,
        argv: list[str],
        folder: Path,
        environment: dict[str, str],
        limit_s: float | None = None,
        stdin: str = "",
    ) -> CommandResult:
        """Return how a command ended and what it printed; nothing that it started is left.

        Args:
            argv: Program and arguments.
            folder: Where it runs.
            environment: Its whole environment.
            limit_s: Time limit; None is what is left for the check.
            stdin: What it reads.

        Raises:
            NotStarted: It cannot be started.
            RunFailed: It cannot be ended.
        """
        stdout, stderr = await _open_pipe(), await _open_pipe()
        try:
            try:
                # A file and not a pipe: a command that does not read must not block us.
                with tempfile.TemporaryFile() as source:
                    source.write(stdin.encode())
                    source.seek(0)
                    streams = (source.fileno(), stdout.writer, stderr.writer)
                    ended = await self._ended(argv, folder, environment, streams, limit_s)
            finally:
                for pipe in (stdout, stderr):
                    os.close(pipe.writer)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(OUTPUT_WAIT_S):
                    await stdout.ended.wait()
                    await stderr.ended.wait()
        finally:
            stdout.close()
            stderr.close()
        code = None if ended.timed_out else ended.code
        return CommandResult(code, stdout.text(), stderr.text())

    async def _ended(
        self,
        argv: list[str],
        folder: Path,
        environment: dict[str, str],
        streams: tuple[int, int, int],
        limit_s: float | None,
    ) -> Exit:
        stdin, stdout, stderr = streams
        process = await start_process(
            argv,
            cwd=folder,
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            rlimits=self._rlimits,
            grace_s=GRACE_S,
            mark=self._mark,
            supervised=True,
        )
        try:
            return await process.wait(self.deadline.left_s() if limit_s is None else limit_s)
        finally:
            await process.end()


class _Pipe(asyncio.Protocol):
    """Reads a pipe to its end, so that no writer is blocked, and keeps the last bytes.

    asyncio's own pipes of a process stay open as long as any other process holds them.
    """

    def __init__(self, writer: int) -> None:
        self.writer = writer
        self.ended = asyncio.Event()
        self._tail = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.close = transport.close

    def data_received(self, data: bytes) -> None:
        self._tail += data
        if len(self._tail) > 2 * TAIL_BYTES:
            del self._tail[:-TAIL_BYTES]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.ended.set()

    def text(self) -> str:
        return self._tail[-TAIL_BYTES:].decode(errors="replace")


async def _open_pipe() -> _Pipe:
    reader, writer = os.pipe()
    pipe = _Pipe(writer)
    await asyncio.get_running_loop().connect_read_pipe(lambda: pipe, os.fdopen(reader, "rb", 0))
    return pipe
