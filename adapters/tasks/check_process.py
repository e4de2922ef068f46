"""Runs one command of a check: a process group with a time limit, of which nothing is left."""

import asyncio
import contextlib
import os
import signal
import tempfile
from pathlib import Path
from typing import IO, NamedTuple

KEPT_BYTES = 1 << 20
"""As much of the output as is looked at, from its end."""
LAST_WORDS_S = 2.0
"""How long output is awaited from a process that has left the group and holds a pipe open."""


class CommandResult(NamedTuple):
    """How a command ended."""

    exit_code: int | None
    """None if it was stopped at its time limit."""
    stdout: str
    stderr: str


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
        # A file and no pipe: a command that does not read must not hold us up.
        with tempfile.TemporaryFile() as source:
            source.write(stdin.encode())
            source.seek(0)
            code = await _run_group(argv, folder, environment, (source, stdout, stderr), limit_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
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
    """Return a command's exit code, None after the time limit; nothing of its group is left."""
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
    """Reads all of what comes out of a pipe, so that no writer is held up, and keeps its end.

    asyncio's own pipes of a process stay open for as long as any stray process holds them.
    """

    def __init__(self, writer: int) -> None:
        self.writer = writer
        self.ended = asyncio.Event()
        self._kept = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.close = transport.close

    def data_received(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) > 2 * KEPT_BYTES:
            del self._kept[:-KEPT_BYTES]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.ended.set()

    def text(self) -> str:
        return self._kept[-KEPT_BYTES:].decode(errors="replace")


async def _open_pipe() -> _Pipe:
    reader, writer = os.pipe()
    pipe = _Pipe(writer)
    await asyncio.get_running_loop().connect_read_pipe(lambda: pipe, os.fdopen(reader, "rb", 0))
    return pipe
