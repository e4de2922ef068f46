"""The sandbox inside an image: an agent as a user of its own, in the container that cab runs in too."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cab.adapters.processes.agent_process import GRACE_S, Exit
from cab.adapters.processes.cleanup import CleanupPlan
from cab.adapters.runs.conditions import read_process_limit
from cab.adapters.runs.inside import roles
from cab.adapters.runs.inside.leftovers import remove_leftovers
from cab.adapters.runs.inside.session import RoleProcess, RoleStart, Supervision
from cab.adapters.sandboxes import deviations
from cab.adapters.sandboxes.base import LOOPBACK, SandboxFacts, SandboxView, StartRequest
from cab.adapters.sandboxes.environment import Places, agent_environment
from cab.adapters.sandboxes.images import parse_image
from cab.adapters.sandboxes.limits import LOCAL_NAMES, ResourceLimits
from cab.adapters.sandboxes.local import LocalSandbox

_KEPT_BYTES = 64 << 20
"""Of the disk, for cab."""
_KEPT_PROCESSES = 256
"""Of the container's processes and threads, for cab: an agent that forks without end must not stop it."""


class SharedSandbox(LocalSandbox):
    """The container without container root: cab, agent and checks are one user.

    Args:
        executable: What starts the agent.
        tools: Variables with which the task's programs find themselves.
        limits: Resource limits.
        terminal: Whether the agent writes to terminals.
        exposed: Deviations of whoever holds the endpoint's key.
    """

    def __init__(  # the same as for this machine, whose own deviations do not hold here
        self,
        executable: Path,
        tools: Mapping[str, str],
        limits: ResourceLimits,
        *,
        terminal: bool = False,
        exposed: Sequence[str] = (),
    ) -> None:
        super().__init__(executable, tools, limits, terminal=terminal)
        self._shared = _facts(limits, (deviations.SHARED_UID, *exposed))

    @property
    def facts(self) -> SandboxFacts:
        """What is fixed about it."""
        return self._shared


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSandbox:
    """The container with container root: the agent is a user of its own."""

    session: Supervision
    executable: Path
    """What starts the agent."""
    tools: Mapping[str, str]
    """Variables with which the task's programs find themselves."""
    limits: ResourceLimits
    terminal: bool = False
    exposed: Sequence[str] = ()
    """Deviations of whoever holds the endpoint's key."""

    @property
    def facts(self) -> SandboxFacts:
        """What is fixed about it."""
        return _facts(self.limits, self.exposed)

    @property
    def cleanup(self) -> CleanupPlan:
        """Nothing: container root ends the agent, and the container ends with container root."""
        return CleanupPlan()

    def view(self, places: Places) -> SandboxView:
        """Return the run as it is: nothing looks different to the agent."""
        env = agent_environment(places, self.tools, {}, terminal=self.terminal)
        return SandboxView(places.home, self.executable, env)

    async def start(self, places: Places, request: StartRequest) -> "RoleAgent":
        """Give the agent its folders and start it.

        Raises:
            RunFailed: It cannot be started.
        """
        places.workdir.parent.chmod(0o711)  # the agent passes through it, and cannot list it
        places.output.chmod(0o700)
        folders = (places.workdir, places.home, places.temporary)
        await self.session.give(roles.AGENT, *folders)
        room = await asyncio.to_thread(reserve)
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            process = await self.session.start(
                RoleStart(
                    role=roles.AGENT,
                    argv=request.argv,
                    cwd=places.workdir,
                    env={**self.view(places).env, **request.declared},
                    streams=(nothing, request.output.stdout, request.output.stderr),
                    limits=bounded(self.limits.rlimits),
                    grace_s=GRACE_S,
                )
            )
        except BaseException:
            await self.session.end_role(roles.AGENT, GRACE_S)
            await asyncio.to_thread(os.close, room)
            await self.session.give(roles.CAB, *folders)
            raise
        finally:
            os.close(nothing)
        return RoleAgent(self.session, process, folders, room)


class RoleAgent:
    """An agent that runs as a user of its own.

    Args:
        session: Asks container root.
        process: The agent.
        folders: What it may write to, taken back when it has ended.
        room: Descriptor of a file that keeps room on the disk meanwhile.
    """

    def __init__(
        self, session: Supervision, process: RoleProcess, folders: Sequence[Path], room: int
    ) -> None:
        self._room = room
        self._session = session
        self._process = process
        self._folders = folders

    @property
    def cleanup(self) -> CleanupPlan:
        """Nothing: container root ends the agent."""
        return CleanupPlan()

    async def wait(self, limit_s: float) -> Exit:
        """Return how the agent ended; past the limit all of it is ended."""
        return await self._process.wait(limit_s)

    async def end(self) -> int:
        """End whatever still runs; return how many processes that were. Its folders are cab's then.

        Raises:
            RunFailed: Some could not be ended.
        """
        left = await self._process.end()
        if self._folders:
            await asyncio.to_thread(os.close, self._room)
            await remove_leftovers(self._session, roles.AGENT)
            await self._session.give(roles.CAB, *self._folders)
            self._folders = ()
        return left


def reserve() -> int:
    """Return the descriptor of a file without a name that takes room on cab's disk until it is closed.

    An agent that fills the disk would otherwise leave none for what is measured of it.
    """
    file = os.open(roles.SCRATCH, os.O_TMPFILE | os.O_RDWR, 0o600)
    facts = os.fstatvfs(file)
    free = facts.f_bavail * facts.f_frsize
    with suppress(OSError):  # a file system that cannot, or that somebody else fills just now
        os.posix_fallocate(file, 0, max(1, min(_KEPT_BYTES, free // 4)))
    return file


def bounded(rlimits: Mapping[str, int]) -> dict[str, int]:
    """Return resource limits of a role; cab keeps some of the processes that the container may have."""
    allowed = read_process_limit()
    if allowed is None:
        return dict(rlimits)
    most = max(allowed - _KEPT_PROCESSES, allowed // 2)
    return {**rlimits, "RLIMIT_NPROC": min(rlimits.get("RLIMIT_NPROC", most), most)}


def _facts(limits: ResourceLimits, more: Sequence[str]) -> SandboxFacts:
    words = [deviations.NETWORK, deviations.CONTAINER_CHECKS, *more]
    if not limits.holds(LOCAL_NAMES):
        words.append(deviations.NO_LIMITS)
    # The image names itself, and whoever starts it may name it with its digest.
    named = os.environ.get(roles.IMAGE_VARIABLE)
    image = parse_image(named) if named else None
    return SandboxFacts(
        name=roles.NAME,
        listen_host=LOOPBACK,
        image=image and image.name,
        digest=image and image.digest,
        deviations=deviations.named(words),
        attrs={"read_only": False, "limits": limits.among(LOCAL_NAMES)},
    )
