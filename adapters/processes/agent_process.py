"""Runs an agent as a process of its own, with a time limit, and leaves no process behind."""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, NamedTuple

import orjson

from cab.adapters.errors import NotStarted
from cab.adapters.processes import launcher
from cab.adapters.processes.background import in_background
from cab.adapters.processes.cleanup import CleanupPlan
from cab.adapters.processes.tree import RUN_MARK, end_processes

START_S = 300.0
"""How long it may take to become the program."""
GRACE_S = 5.0
"""How long an agent may take to end itself after SIGTERM."""


def new_mark() -> str:
    """Return a value of `RUN_MARK` that no other run has."""
    return secrets.token_hex(16)


class Exit(NamedTuple):
    """How a process ended."""

    code: int
    """Exit code; 128 and the signal's number if a signal ended it, as shells say."""
    timed_out: bool
    """Whether the limit ended it."""
    duration_ms: float
    """From its start to its end, or to the limit: what it takes to end it is not the program's time."""
    limit: Literal["disk", "memory"] | None = None
    """Another limit that ended it."""


class AgentProcess:
    """A program that was started, and all that it starts. Made by `start_process`."""

    def __init__(self, process: asyncio.subprocess.Process, mark: str, grace_s: float) -> None:
        self._process = process
        self._mark = mark
        self._grace_s = grace_s
        self._began_ns = time.monotonic_ns()

    @property
    def pid(self) -> int:
        """Its process id; it leads a group and a session of that number."""
        return self._process.pid

    @property
    def cleanup(self) -> CleanupPlan:
        """All of its processes."""
        return CleanupPlan(leader=self.pid, mark=self._mark)

    async def ends_within(self, limit_s: float) -> bool:
        """Wait for the program, at most so long, and tell whether it has ended; it is left alone."""
        try:
            async with asyncio.timeout(limit_s):
                await self._process.wait()
        except TimeoutError:
            return False
        return True

    async def wait(self, limit_s: float) -> Exit:
        """Return how the program ended; past the limit its whole tree is ended.

        Raises:
            RunFailed: It could not be ended.
        """
        timed_out = not await self.ends_within(limit_s)
        duration_ms = (time.monotonic_ns() - self._began_ns) / 1e6
        if timed_out:
            await self.end()
        code = await self._process.wait()
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
    stdout: Path | int,
    stderr: Path | int,
    stdin: int = asyncio.subprocess.DEVNULL,
    rlimits: Mapping[str, int] | None = None,
    grace_s: float = GRACE_S,
    mark: str | None = None,
    supervised: bool = False,
) -> AgentProcess:
    """Return a program that has been started; the caller must `end` it, whatever happens.

    It leads a session of its own and reads nothing, unless that is given. It writes to files, or to descriptors that the
    caller reads from: a daemon that keeps them open holds nobody up.

    Args:
        argv: Program and arguments.
        cwd: Working folder.
        env: Its whole environment.
        stdout: File, or descriptor, for its output.
        stderr: File, or descriptor, for its messages.
        stdin: Descriptor of what it reads.
        rlimits: Resource limits to start it with, such as `{"RLIMIT_CPU": 60}`; None sets none.
        grace_s: Seconds between SIGTERM and SIGKILL when it is ended.
        mark: What its processes carry in their environment; None makes a new one.
        supervised: Whether all that it leaves behind is killed as soon as it has ended.

    Raises:
        NotStarted: The program cannot be started.
    """
    mark = mark or new_mark()
    with ExitStack() as stack:
        out, err = (
            each if isinstance(each, int) else stack.enter_context(each.open("wb"))
            for each in (stdout, stderr)
        )
        words, status = _launched(argv, rlimits, supervised, stack)
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                cwd=cwd,
                env={**env, RUN_MARK: mark},
                stdin=stdin,
                stdout=out,
                stderr=err,
                start_new_session=True,
                pass_fds=() if status is None else (status.write,),
            )
        except OSError as error:
            raise NotStarted(f"{argv[0]} cannot be started: {error.strerror}") from error
    agent = AgentProcess(process, mark, grace_s)
    if status is not None:
        try:
            await _require_started(agent, argv[0], status.read)
        except BaseException:
            await agent.end()
            raise
    return agent


class _Status(NamedTuple):
    """A pipe through which the launcher says why a program cannot be started."""

    read: int
    write: int


def _launched(
    argv: Sequence[str], rlimits: Mapping[str, int] | None, supervised: bool, stack: ExitStack
) -> tuple[Sequence[str], _Status | None]:
    if not (rlimits or supervised):
        return argv, None
    status = _Status(*os.pipe())
    stack.callback(os.close, status.write)
    how = launcher.SUPERVISE if supervised else launcher.BECOME
    own = (sys.executable, "-I", "-S", launcher.__file__, how)
    return (*own, str(status.write), orjson.dumps(dict(rlimits or {})).decode(), *argv), status


def _read_all(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as pipe:
        return pipe.read()


async def _require_started(agent: AgentProcess, name: str, status: int) -> None:
    try:
        reason = await in_background(lambda _: _read_all(status), START_S)
    except TimeoutError as error:  # the file system that holds the program does not answer
        raise NotStarted(f"{name} did not start within {START_S:g} s") from error
    if reason:
        await agent.wait(GRACE_S)
        raise NotStarted(f"{name} cannot be started: {reason.decode()}")
