"""Runs one command of a check in a process group with a time limit; what a check reports."""

import asyncio
import contextlib
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import IO, NamedTuple

TAIL_BYTES = 1 << 20
"""How much of the output is kept, from its end."""
OUTPUT_WAIT_S = 2.0
"""How long to wait for output of a process that has left the group and holds a pipe open."""


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


async def run_command(
    argv: list[str],
    folder: Path,
    environment: dict[str, str],
    limit_s: float,
    stdin: str = "",
) -> CommandResult:
    """Return how a command ended and what it printed.

    Args:
        argv: Program and arguments.
        folder: Where it runs.
        environment: Its whole environment.
        limit_s: Time limit.
        stdin: What it reads.

    Raises:
        OSError: It cannot be started.
    """
    stdout, stderr = await _open_pipe(), await _open_pipe()
    try:
        # A file and not a pipe: a command that does not read must not block us.
        with tempfile.TemporaryFile() as source:
            source.write(stdin.encode())
            source.seek(0)
            code = await _run_group(argv, folder, environment, (source, stdout, stderr), limit_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OUTPUT_WAIT_S):
                await stdout.ended.wait()
                await stderr.ended.wait()
    finally:
        stdout.close()
        stderr.close()
    return CommandResult(code, stdout.text(), stderr.text())


async def _run_group(
    argv: list[str],
    folder: Path,
    environment: dict[str, str],
    streams: tuple[IO[bytes], "_Pipe", "_Pipe"],
    limit_s: float,
) -> int | None:
    """Return a command's exit code, None after the time limit; all of its group has ended."""
    source, stdout, stderr = streams
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=folder,
            env=environment,
            stdin=source,
            stdout=stdout.writer,
            stderr=stderr.writer,
            start_new_session=True,
        )
    finally:
        for pipe in (stdout, stderr):
            os.close(pipe.writer)
    try:
        async with asyncio.timeout(limit_s):
            return await process.wait()
    except TimeoutError:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


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
