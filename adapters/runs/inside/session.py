"""What cab asks of container root, as one side of a socket; see `supervisor` for what it can ask."""

import asyncio
import os
import signal
import socket
import stat
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from cab.adapters.errors import AdapterError, NotStarted, RunFailed
from cab.adapters.processes.agent_process import Exit
from cab.adapters.processes.tree import KILL_S
from cab.adapters.runs.inside import messages, roles

_POLL_S = 0.02
_FEWEST_KILLS = 20


class RoleStart(NamedTuple):
    """One program to be started as another user."""

    role: str
    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    streams: tuple[int, int, int]
    """Descriptors of its input, output and messages."""
    limits: Mapping[str, int]
    grace_s: float
    """Seconds between SIGTERM and SIGKILL when it is ended."""


class Supervision:
    """The socket to container root. Made by `open_session`.

    Args:
        channel: The socket.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._turn = asyncio.Lock()
        self._replies = deque[asyncio.Future[dict[str, Any]]]()
        self._ended: dict[int, asyncio.Future[int]] = {}
        self._buffer = bytearray()
        self._loop = asyncio.get_running_loop()

    async def ask(
        self, message: Mapping[str, Any], descriptors: Sequence[int] = ()
    ) -> dict[str, Any]:
        """Return what container root answers.

        Raises:
            RunFailed: It has gone, or does not do what was asked; `.args` says why.
        """
        header, body = messages.encode(message)
        reply: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        # Half a message would make the rest unreadable: a cancellation waits for its end.
        await asyncio.shield(self._send(header, body, descriptors, reply))
        answer = await reply
        if "error" in answer:
            raise RunFailed(f"container root: {answer['error']}")
        return answer

    async def _send(
        self,
        header: bytes,
        body: bytes,
        descriptors: Sequence[int],
        reply: asyncio.Future[dict[str, Any]],
    ) -> None:
        async with self._turn:
            self._replies.append(reply)
            try:
                socket.send_fds(self._channel, [header], descriptors)
                await self._loop.sock_sendall(self._channel, body)
            except OSError as error:
                raise RunFailed(f"container root has gone: {error.strerror}") from error

    async def start(self, wanted: RoleStart) -> "RoleProcess":
        """Return a program that has been started; the caller must `end` it, whatever happens.

        Raises:
            NotStarted: It cannot be started.
        """
        message = {
            "ask": "start",
            "role": wanted.role,
            "argv": list(wanted.argv),
            "env": dict(wanted.env),
            "cwd": str(wanted.cwd),
            "limits": dict(wanted.limits),
        }
        try:
            answer = await self.ask(message, wanted.streams)
        except RunFailed as error:
            raise NotStarted(f"{wanted.argv[0]} cannot be started: {error}") from error
        return RoleProcess(self, wanted.role, self._end_of(answer["pid"]), wanted.grace_s)

    async def give(self, role: str, *folders: Path) -> None:
        """Give folders of cab's scratch, with all that is in them, to a role.

        Raises:
            RunFailed: One cannot be given, or processes of a role still run.
        """
        for folder in folders:
            path = str(folder.relative_to(roles.SCRATCH))
            await self.ask({"ask": "give", "role": role, "path": path})

    async def signal(self, role: str, number: int) -> int:
        """Send a signal to all processes of a role; return how many live after it; 0 only counts."""
        return int((await self.ask({"ask": "signal", "role": role, "number": number}))["alive"])

    async def end_role(self, role: str, grace_s: float) -> int:
        """End all processes of a role, also one whose start was asked for and not waited for.

        Args:
            role: The role.
            grace_s: Seconds between SIGTERM and SIGKILL.

        Returns:
            How many there were.

        Raises:
            RunFailed: Some could not be ended.
        """
        first = alive = await self.signal(role, 0)
        if alive:
            alive = await self.signal(role, signal.SIGTERM)
        kill_from = time.monotonic() + grace_s
        while alive and time.monotonic() < kill_from:
            await asyncio.sleep(_POLL_S)
            alive = await self.signal(role, 0)
        # From the first SIGKILL on: where thousands run, each answer takes its time.
        failed_from, kills = time.monotonic() + KILL_S, 0
        while alive:
            if kills >= _FEWEST_KILLS and time.monotonic() > failed_from:
                raise RunFailed(f"{alive} processes of {role} cannot be ended")
            kills += 1
            alive = await self.signal(role, signal.SIGKILL)
        return first

    async def open_cell(self, bundle: Path) -> None:
        """Make the folder of a bundle, closed to agents, where only container root may.

        Raises:
            AdapterError: It is not below the folder of runs, or cannot be made.
        """
        path = await asyncio.to_thread(_made_or_missing, bundle)
        if path is None:
            return
        try:
            await self.ask({"ask": "cell", "path": path})
        except RunFailed as error:
            raise AdapterError(
                f"{bundle} cannot be made: {error}; mount a folder at {roles.RUNS} that can be written"
            ) from error

    def readable(self) -> None:
        """Take what has come."""
        try:
            piece = self._channel.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self.fail()
            return
        self._buffer += piece
        size = messages.HEADER.size
        while len(self._buffer) >= size:
            length = messages.body_length(bytes(self._buffer[:size]))
            if len(self._buffer) < size + length:
                return
            message = messages.decode(bytes(self._buffer[size : size + length]))
            del self._buffer[: size + length]
            self._take(message)

    def fail(self) -> None:
        """Let nobody wait for a container root that has gone."""
        self._loop.remove_reader(self._channel.fileno())
        gone = RunFailed("container root has gone")
        for reply in self._replies:
            if not reply.done():
                reply.set_exception(gone)
        for ended in self._ended.values():
            if not ended.done():
                ended.set_exception(gone)

    def _take(self, message: Mapping[str, Any]) -> None:
        if "ended" in message:
            future = self._end_of(message["ended"])
            if not future.done():
                future.set_result(int(message["code"]))
            return
        reply = self._replies.popleft()
        if not reply.done():  # who asked was cancelled
            reply.set_result(message["reply"])

    def _end_of(self, pid: int) -> asyncio.Future[int]:
        # A program may have ended before the answer that it was started has been read.
        if pid not in self._ended:
            self._ended[pid] = self._loop.create_future()
        return self._ended[pid]


class RoleProcess:
    """A program that runs as another user, and all that it starts. Made by `Supervision.start`."""

    def __init__(
        self, session: Supervision, role: str, ended: asyncio.Future[int], grace_s: float
    ) -> None:
        self._session = session
        self._role = role
        self._ended = ended
        self._grace_s = grace_s
        self._began_ns = time.monotonic_ns()

    async def wait(self, limit_s: float) -> Exit:
        """Return how the program ended; past the limit all of its user is ended.

        Raises:
            RunFailed: It could not be ended.
        """
        timed_out = False
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.shield(self._ended)
        except TimeoutError:
            timed_out = True
        duration_ms = (time.monotonic_ns() - self._began_ns) / 1e6
        if timed_out:
            await self.end()
        return Exit(await self._ended, timed_out, duration_ms)

    async def end(self) -> int:
        """End all processes of its user; return how many there were.

        Raises:
            RunFailed: Some could not be ended.
        """
        return await self._session.end_role(self._role, self._grace_s)


def _made_or_missing(bundle: Path) -> str | None:
    """Make the folder of a bundle; return its path below the folder of runs if only root may make it."""
    absolute = bundle.absolute()
    if os.access(roles.RUNS, os.W_OK):
        absolute.mkdir(parents=True, exist_ok=True)
        absolute.chmod(stat.S_IRWXU)
        return None
    if not absolute.is_relative_to(roles.RUNS):
        raise AdapterError(f"{absolute} is not below {roles.RUNS}; leave out --runs")
    return str(absolute.relative_to(roles.RUNS))


def inside() -> str | None:
    """Return how this process was started by an image's entry point; None if it was not."""
    return os.environ.get(roles.DESCRIPTOR)


def ends_with_container(folder: Path) -> bool:
    """Return whether what is written to a folder is gone when this container is; no outside of an image."""
    if inside() is None:
        return False
    mounted = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    absolute = folder.absolute()
    return not any(str(each) in mounted for each in (absolute, *absolute.parents[:-1]))


@asynccontextmanager
async def open_session() -> AsyncGenerator[Supervision | None]:
    """Give the socket to container root; None where all run as one user.

    Raises:
        AdapterError: The descriptor that this process was given is not a socket.
    """
    given = inside()
    if given == roles.SHARED:
        yield None
        return
    try:
        channel = socket.socket(fileno=os.dup(int(given or "")))
    except (OSError, ValueError) as error:
        raise AdapterError(
            f"{roles.DESCRIPTOR} is not the number of an open socket; start cells in an image by its "
            "own entry point"
        ) from error
    channel.setblocking(False)
    session = Supervision(channel)
    loop = asyncio.get_running_loop()
    loop.add_reader(channel.fileno(), session.readable)
    try:
        yield session
    finally:
        loop.remove_reader(channel.fileno())
        channel.close()
