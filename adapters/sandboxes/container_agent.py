"""An agent that runs in a container: waited for, ended, removed."""

from collections.abc import Sequence
from pathlib import Path

from cab.adapters.errors import RunFailed
from cab.adapters.processes.agent_process import AgentProcess, Exit
from cab.adapters.processes.cleanup import CleanupPlan
from cab.adapters.sandboxes.disk_watch import within_disk
from cab.adapters.sandboxes.engine import ContainerEngine, ContainerState


class ContainerAgent:
    """An agent that runs in a container.

    Args:
        engine: What runs it.
        name: The container.
        client: The engine's program, which waits for it.
        cleanup: All of it.
        folders: What of this machine it can write to.
        disk: Bytes that these may take; None is no limit.
    """

    def __init__(  # noqa: PLR0913 - all that makes one container
        self,
        engine: ContainerEngine,
        name: str,
        client: AgentProcess,
        cleanup: CleanupPlan,
        *,
        folders: Sequence[Path],
        disk: int | None,
    ) -> None:
        self._folders = folders
        self._disk = disk
        self._engine = engine
        self._name = name
        self._client = client
        self._cleanup = cleanup

    @property
    def cleanup(self) -> CleanupPlan:
        """The container, its network, and the engine's program."""
        return self._cleanup

    async def wait(self, limit_s: float) -> Exit:
        """Return how the agent ended; past the limit the container is stopped, then killed.

        Raises:
            RunFailed: The container was never started, or the engine's program ended before it.
        """
        waiting = self._client.wait(limit_s)
        ended = await within_disk(waiting, self._folders, self._disk, self._kill)
        state = await self._engine.state(self._name)
        if state is None or not state.started or state.error:
            raise RunFailed(
                f"the container {self._name} cannot be run: {await self._reason(state)}"
            )
        if ended.timed_out or ended.limit is not None:
            return ended
        if state.running:
            raise RunFailed(
                f"the engine's program ended before the container {self._name}; run the cell again"
            )
        # The engine's program has exit codes of its own.
        ended = ended._replace(code=state.exit_code)
        return ended._replace(limit="memory") if state.out_of_memory else ended

    async def _kill(self) -> None:
        await self._engine.ask("kill", "--signal", "KILL", self._name)

    async def _reason(self, state: ContainerState | None) -> str:
        if state is None:
            return "it was removed"
        # podman does not store the error of a start; a second start prints it.
        return state.error or (await self._engine.ask("start", self._name)).summary

    async def end(self) -> int:
        """Remove the container, with whatever still runs in it; return 1 if something did.

        Raises:
            RunFailed: It cannot be removed.
        """
        state = await self._engine.state(self._name)
        if state is not None:
            await self._engine.remove_container(self._name)
        await self._client.end()
        return int(state is not None and state.running)
