"""The local sandbox: a process of this machine. It is not a security boundary.

Own process group and session, own HOME and environment, resource limits. A harmful agent
can still read and write whatever its user may, and reach any host.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from cab.adapters.processes.agent_process import AgentProcess, new_mark, start_process
from cab.adapters.processes.cleanup import CleanupPlan
from cab.adapters.sandboxes import deviations
from cab.adapters.sandboxes.base import LOOPBACK, SandboxFacts, SandboxView, StartRequest
from cab.adapters.sandboxes.environment import Places, agent_environment
from cab.adapters.sandboxes.limits import LOCAL_NAMES, ResourceLimits

NAME = "local"
ENGINE_SOCKETS = (Path("/var/run/docker.sock"), Path("/run/podman/podman.sock"))
"""Where container engines listen."""


class LocalSandbox:
    """This machine.

    Args:
        executable: What starts the agent.
        tools: Variables with which the task's programs find themselves.
        limits: Resource limits.
        terminal: Whether the agent writes to terminals.
        exposed: Deviations of whoever holds the endpoint's key.
    """

    def __init__(
        self,
        executable: Path,
        tools: Mapping[str, str],
        limits: ResourceLimits,
        *,
        terminal: bool = False,
        exposed: Sequence[str] = (),
    ) -> None:
        self._executable = executable
        self._tools = tools
        self._limits = limits
        self._terminal = terminal
        self._mark = new_mark()
        socket = any(os.access(path, os.W_OK) for path in ENGINE_SOCKETS)
        self._facts = SandboxFacts(
            name=NAME,
            listen_host=LOOPBACK,
            deviations=deviations.named([*_deviations(limits, socket=socket), *exposed]),
            attrs={
                "docker_sock_mounted": socket,
                "read_only": False,
                "limits": limits.among(LOCAL_NAMES),
            },
        )

    @property
    def facts(self) -> SandboxFacts:
        """What is fixed about it."""
        return self._facts

    @property
    def cleanup(self) -> CleanupPlan:
        """All processes of an agent that is started here."""
        return CleanupPlan(mark=self._mark)

    def view(self, places: Places) -> SandboxView:
        """Return the run as it is: nothing looks different from inside."""
        env = agent_environment(places, self._tools, {}, terminal=self._terminal)
        return SandboxView(places.home, self._executable, env)

    async def start(self, places: Places, request: StartRequest) -> AgentProcess:
        """Start the agent.

        Raises:
            RunFailed: It cannot be started.
        """
        env = {**self.view(places).env, **request.declared}
        stdout, stderr = request.output
        return await start_process(
            request.argv,
            cwd=places.workdir,
            env=env,
            stdout=stdout,
            stderr=stderr,
            rlimits=self._limits.rlimits,
            mark=self._mark,
        )


def _deviations(limits: ResourceLimits, *, socket: bool) -> list[str]:
    found = [deviations.NO_BOUNDARY, deviations.NETWORK]
    if os.geteuid() == 0:
        found.append(deviations.ROOT)
    if socket:
        found.append(deviations.SOCKET)
    if not limits.holds(LOCAL_NAMES):
        found.append(deviations.NO_LIMITS)
    return found
