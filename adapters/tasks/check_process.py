"""Runs the commands of a check, which are the agent's code too; what a check reports.

Where they run is a `CheckSite`: this machine, or the containers of `cab.adapters.sandboxes.check_container`.

A command gets what an agent gets: a session and an environment of its own, resource limits, a time
limit, and the end of all that it started.
"""

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from cab.adapters.processes.agent_process import Exit, new_mark, start_process
from cab.adapters.processes.cleanup import CleanupPlan
from cab.adapters.tasks.loader import Task
from cab.adapters.tasks.needs import missing_needs
from cab.adapters.tasks.staging import check_environment, fill_in

TAIL_BYTES = 1 << 20
"""How much of the output is kept, from its end."""
OUTPUT_WAIT_S = 2.0
"""How long to wait for output of a process that cannot be found and holds a pipe open."""
GRACE_S = 1.0
"""How long a command may take to end itself after SIGTERM."""
NO_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({})


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

    def extend(self, by_s: float) -> None:
        """Add seconds that the check did not use itself."""
        self._end_ns += int(by_s * 1e9)

    def left_s(self) -> float:
        """Return the remaining seconds, at least 0."""
        return max(0.0, (self._end_ns - time.monotonic_ns()) / 1e9)


class CheckCommand(NamedTuple):
    """One command of a check, ready to be started."""

    argv: Sequence[str]
    folder: Path
    """Where it runs."""
    environment: Mapping[str, str]
    """Its whole environment."""
    streams: tuple[int, int, int]
    """Descriptors of its input, output and messages."""
    rlimits: Mapping[str, int]
    mark: str
    """What its processes carry in their environment, where they run as our user."""


class StartedCommand(Protocol):
    """A command that has been started."""

    async def wait(self, limit_s: float) -> Exit:
        """Return how it ended; past the limit everything of it is ended."""
        ...

    async def end(self) -> int:
        """End whatever still runs of it; return how many processes that were."""
        ...


class CheckPlace(Protocol):
    """Where the commands of checks run."""

    async def enter(self, stage: Path) -> None:
        """Make the folder of a check theirs."""
        ...

    async def start(self, command: CheckCommand) -> StartedCommand:
        """Start one; the caller must `end` it, whatever happens."""
        ...

    async def leave(self, stage: Path) -> None:
        """Make the folder ours again, so that it can be removed."""
        ...


class OwnProcesses:
    """Commands as processes of this machine and this user."""

    async def enter(self, stage: Path) -> None:
        """Do nothing: the folder is theirs."""

    async def start(self, command: CheckCommand) -> StartedCommand:
        """Start one.

        Raises:
            NotStarted: It cannot be started.
        """
        stdin, stdout, stderr = command.streams
        return await start_process(
            command.argv,
            cwd=command.folder,
            env=command.environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            rlimits=command.rlimits,
            grace_s=GRACE_S,
            mark=command.mark,
            supervised=True,
        )

    async def leave(self, stage: Path) -> None:
        """Do nothing: the folder is ours."""


class CheckRunner(Protocol):
    """Runs the commands of one check, on what was laid out for it."""

    @property
    def deadline(self) -> CheckDeadline:
        """The time limit of the whole check."""
        ...

    @property
    def cleanup(self) -> CleanupPlan:
        """What to end if this process is killed meanwhile."""
        ...

    async def run(
        self,
        command: Sequence[str],
        variables: Mapping[str, str] = NO_VARIABLES,
        limit_s: float | None = None,
        stdin: str = "",
    ) -> CommandResult:
        """Return how a command ended and what it printed; nothing that it started is left.

        Args:
            command: Program and arguments, as the task has them; it runs in the copy of the workspace.
            variables: What it gets besides the environment of every check.
            limit_s: Time limit; None is what is left for the check.
            stdin: What it reads.

        Raises:
            NotStarted: It cannot be started.
            RunFailed: It cannot be ended.
        """
        ...

    async def close(self) -> None:
        """Make the folder of the check ours again, so that it can be removed."""
        ...


class CheckSite(Protocol):
    """Where the commands of checks run."""

    async def missing(self, task: Task) -> list[str]:
        """Return one line for each program that a task's checks need and that cannot be used there."""
        ...

    async def runner(self, task: Task, stage: Path, deadline: CheckDeadline) -> CheckRunner:
        """Return what runs the commands of one check.

        Args:
            task: The task.
            stage: The folder that `lay_out` has filled.
            deadline: The time limit of the check.
        """
        ...


class HostChecks:
    """Processes beside this one: of this machine, or of the container that cab runs in.

    Args:
        rlimits: Resource limits of each command, as of the agent; None sets none.
        place: Where they are started; None is as processes of this user.
    """

    def __init__(
        self, rlimits: Mapping[str, int] | None = None, place: CheckPlace | None = None
    ) -> None:
        self._rlimits = rlimits or {}
        self._place = place or OwnProcesses()

    async def missing(self, task: Task) -> list[str]:
        """Return the programs that are missing, or do not work."""
        return missing_needs(task)

    async def runner(self, task: Task, stage: Path, deadline: CheckDeadline) -> "HostRunner":
        """Return what runs commands as such processes."""
        await self._place.enter(stage)
        return HostRunner(task, stage, deadline, self._rlimits, self._place)


class HostRunner:
    """Runs the commands of one check as processes.

    Args:
        task: The task.
        stage: The folder that `lay_out` has filled.
        deadline: The time limit of the check.
        rlimits: Resource limits of each command.
        place: Where they are started.
    """

    def __init__(
        self,
        task: Task,
        stage: Path,
        deadline: CheckDeadline,
        rlimits: Mapping[str, int],
        place: CheckPlace,
    ) -> None:
        self.deadline = deadline
        self._place = place
        self._task = task
        self._stage = stage
        self._rlimits = rlimits
        self._mark = new_mark()

    @property
    def cleanup(self) -> CleanupPlan:
        """All of their processes."""
        return CleanupPlan(mark=self._mark)

    async def run(
        self,
        command: Sequence[str],
        variables: Mapping[str, str] = NO_VARIABLES,
        limit_s: float | None = None,
        stdin: str = "",
    ) -> CommandResult:
        """Run a command."""

        async def work(streams: Streams) -> Exit:
            process = await self._place.start(
                CheckCommand(
                    argv=fill_in(command, self._stage),
                    folder=self._stage / "workspace",
                    environment={**check_environment(self._task, self._stage), **variables},
                    streams=streams,
                    rlimits=self._rlimits,
                    mark=self._mark,
                )
            )
            try:
                return await process.wait(self.deadline.left_s() if limit_s is None else limit_s)
            finally:
                await process.end()

        return await capture_output(work, stdin)

    async def close(self) -> None:
        """Take the folder back."""
        await self._place.leave(self._stage)


class Streams(NamedTuple):
    """Descriptors that a program is started with."""

    stdin: int
    stdout: int
    stderr: int


async def capture_output(
    work: Callable[[Streams], Awaitable[Exit]], stdin: str = ""
) -> CommandResult:
    """Return how a program ended, and the ends of what it printed.

    Args:
        work: Starts it with the descriptors, and waits for it.
        stdin: What it reads.
    """
    stdout, stderr = await _open_pipe(), await _open_pipe()
    try:
        try:
            # A file and not a pipe: a command that does not read must not block us.
            with tempfile.TemporaryFile() as source:
                source.write(stdin.encode())
                source.seek(0)
                ended = await work(Streams(source.fileno(), stdout.writer, stderr.writer))
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
