"""The container sandbox: the agent's image, as little of this machine as possible, and one way out.

The container gets a network of its own that reaches only this machine, where the proxy listens on
the network's gateway address and accepts calls with the cell's key only.
"""

import os
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cab.adapters.errors import AdapterError, RunFailed
from cab.adapters.processes.agent_process import AgentProcess, Exit, new_mark, start_process
from cab.adapters.processes.cleanup import CleanupPlan, engine_environment, watched_cleanup
from cab.adapters.sandboxes import commands, deviations
from cab.adapters.sandboxes.base import SandboxFacts, SandboxView, StartRequest
from cab.adapters.sandboxes.commands import (
    ContainerRun,
    create_command,
    hold_commands,
    start_command,
)
from cab.adapters.sandboxes.engine import ContainerEngine, ContainerState, Network, find_engine
from cab.adapters.sandboxes.environment import Places, container_environment
from cab.adapters.sandboxes.images import Image
from cab.adapters.sandboxes.limits import CONTAINER_NAMES, ResourceLimits

NAME: Final = "docker"

_AGENT_IDS = (1000, 1000)
"""User and group inside, where the operator is root: unused on most machines, and never root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """How containers are run, as asked for."""

    image: str | None = None
    """Image; None takes the agent's own."""
    network: str | None = None
    """An existing network; None makes one that reaches the proxy only."""
    engine: str | None = None
    """Program to run it with; None takes docker, otherwise podman."""
    deviations: tuple[str, ...] = ()
    """What the image needs: words of `deviations.ALLOWED`."""


@asynccontextmanager
async def docker_sandbox(  # noqa: PLR0913 - all that makes one container
    wanted: Container,
    image: Image,
    executable: Path,
    limits: ResourceLimits,
    run_id: str,
    *,
    listens: bool,
    exposed: Sequence[str] = (),
) -> AsyncGenerator["DockerSandbox"]:
    """Make what a container needs: an engine, the image, a network; and remove what was made.

    Args:
        wanted: How to run it.
        image: The image.
        executable: What starts the agent inside.
        limits: Resource limits.
        run_id: Part of all names, new for each run.
        listens: Whether a proxy of this process will listen in the network.
        exposed: Deviations of whoever holds the endpoint's key.

    Raises:
        AdapterError: There is no engine, image or network, or nothing can listen there.
    """
    allowed = deviations.require_allowed(wanted.deviations)
    mark, name = new_mark(), f"cab-{run_id}"
    engine = replace(await find_engine(wanted.engine), mark=mark)
    digest = await engine.image_digest(image)
    cleanup = CleanupPlan(
        mark=mark,
        engine=engine.program,
        container=name,
        holder=holder_of(name) if engine.kind == "podman" else None,
        network=name if wanted.network is None else None,
    )
    async with AsyncExitStack() as stack:
        stack.enter_context(watched_cleanup(cleanup))
        network = await stack.enter_async_context(_network(engine, wanted.network, name))
        if engine.kind == "podman":
            words = hold_commands(holder_of(name), network.name, image.reference, str(executable))
            await stack.enter_async_context(_held(engine, holder_of(name), words))
        if listens:
            _require_local_gateway(network)
        yield DockerSandbox(
            engine=engine,
            image=image,
            digest=digest,
            network=network,
            own_network=wanted.network is None,
            executable=executable,
            limits=limits,
            allowed=allowed,
            exposed=exposed,
            name=name,
            cleanup=cleanup,
        )


def holder_of(name: str) -> str:
    """Return the name of the container that keeps a network up, by that of the agent's."""
    return f"{name}-network"


@asynccontextmanager
async def _network(
    engine: ContainerEngine, given: str | None, name: str
) -> AsyncGenerator[Network]:
    if given is not None:
        yield await engine.inspect_network(given)
        return
    try:
        yield await engine.make_network(name)
    finally:
        await engine.ask("network", "rm", name)


@asynccontextmanager
async def _held(
    engine: ContainerEngine, name: str, commands: Sequence[Sequence[str]]
) -> AsyncGenerator[None]:
    try:
        for words in commands:
            answer = await engine.ask(*words)
            if answer.code:
                raise RunFailed(f"the container network cannot be brought up: {answer.summary}")
        yield
    finally:
        await engine.ask("rm", "--force", name)


def _require_local_gateway(network: Network) -> None:
    """Make sure that a proxy can listen at the gateway."""
    try:
        with socket.create_server((network.gateway, 0)):
            return
    except OSError as error:
        raise AdapterError(
            f"{network.gateway}, the gateway of network {network.name}, is not an address of this "
            "machine, as with rootless engines; run the engine as root, or give a proxy that "
            "containers reach with --proxy and --network"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerSandbox:
    """A place for one container."""

    engine: ContainerEngine
    image: Image
    digest: str | None
    network: Network
    own_network: bool
    """Whether the network was made for it."""
    executable: Path
    """What starts the agent inside."""
    limits: ResourceLimits
    allowed: frozenset[str]
    """Deviations that were asked for."""
    exposed: Sequence[str] = ()
    """Deviations of whoever holds the endpoint's key."""
    name: str
    cleanup: CleanupPlan
    """All that was made for it, and will be."""

    @property
    def facts(self) -> SandboxFacts:
        """What is fixed about it."""
        return SandboxFacts(
            name=NAME,
            listen_host=self.network.gateway,
            image=self.image.name,
            digest=self.digest,
            deviations=deviations.named(self._deviations()),
            attrs={
                "docker_sock_mounted": deviations.SOCKET in self.allowed,
                "read_only": deviations.WRITABLE not in self.allowed,
                "engine": self.engine.kind,
                "limits": self.limits.among(CONTAINER_NAMES),
            },
        )

    def view(self, places: Places) -> SandboxView:
        """Return the run as it looks from inside the container."""
        del places  # the same for every run
        env = container_environment(commands.HOME, commands.WORKDIR, commands.TEMPORARY)
        return SandboxView(Path(commands.HOME), self.executable, env)

    async def start(self, places: Places, request: StartRequest) -> "ContainerAgent":
        """Make the container and start it.

        Raises:
            RunFailed: The engine does not take it.
        """
        user = self._prepare(places)
        settings, inherited = self._environment(places, request)
        command = create_command(
            ContainerRun(
                engine=self.engine.kind,
                rootless=self.engine.rootless,
                name=self.name,
                image=self.image.reference,
                network=self.network.name,
                user=user,
                workdir=places.workdir,
                home=places.home,
                settings=settings,
                inherited=tuple(inherited),
                argv=request.argv,
                limits=self.limits,
                allowed=self.allowed,
            )
        )
        try:
            made = await self.engine.ask(*command, variables=inherited)
            if made.code:
                raise RunFailed(
                    f"no container of {self.image.name} could be created: {made.summary}"
                )
            client = await start_process(
                (self.engine.program, *start_command(self.name)),
                cwd=Path("/"),
                env=engine_environment(),
                stdout=request.output.stdout,
                stderr=request.output.stderr,
                mark=self.cleanup.mark,
            )
        except BaseException:
            await self.engine.ask("rm", "--force", self.name)
            raise
        cleanup = self.cleanup.model_copy(update={"leader": client.pid})
        return ContainerAgent(self.engine, self.name, client, cleanup)

    def _environment(
        self, places: Places, request: StartRequest
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Return what may stand on a command line, and what only the engine's program may see."""
        declared = {"CAB_ENDPOINT": request.endpoint, "CAB_KEY": request.key, **request.declared}
        # A variable that the engine's program reads itself cannot be handed through it.
        taken = {name: value for name, value in declared.items() if name in engine_environment()}
        exposed = [name for name, value in taken.items() if request.key in value]
        if exposed:
            raise AdapterError(f"{exposed[0]} cannot hold the cell's key in a container")
        inherited = {name: value for name, value in declared.items() if name not in taken}
        base = {k: v for k, v in self.view(places).env.items() if k not in inherited}
        return {**base, **taken}, inherited

    def _prepare(self, places: Places) -> str:
        """Make the mounted folders the agent's own; return its user and group."""
        ids = (os.getuid(), os.getgid())
        if ids[0] == 0:
            ids = _AGENT_IDS
            for folder in (places.workdir, places.home):
                _give(folder, *ids)
        return f"{ids[0]}:{ids[1]}"

    def _deviations(self) -> set[str]:
        found = {deviations.HOST_CHECKS, *self.allowed, *self.exposed}
        if not self.network.internal:
            found.add(deviations.NETWORK)
        if not self.own_network:
            found.add(deviations.PLACED)
        if not self.limits.holds(CONTAINER_NAMES):
            found.add(deviations.NO_LIMITS)
        return found


class ContainerAgent:
    """An agent that runs in a container.

    Args:
        engine: What runs it.
        name: The container.
        client: The engine's program, which waits for it.
        cleanup: All of it.
    """

    def __init__(
        self, engine: ContainerEngine, name: str, client: AgentProcess, cleanup: CleanupPlan
    ) -> None:
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
        ended = await self._client.wait(limit_s)
        state = await self._engine.state(self._name)
        if state is None or not state.started or state.error:
            raise RunFailed(
                f"the container {self._name} cannot be run: {await self._reason(state)}"
            )
        if ended.timed_out:
            return ended
        if state.running:
            raise RunFailed(
                f"the engine's program ended before the container {self._name}; run the cell again"
            )
        # The engine's program has exit codes of its own.
        return ended._replace(code=state.exit_code)

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
            answer = await self._engine.ask("rm", "--force", "--volumes", self._name)
            if answer.code:
                raise RunFailed(f"container {self._name} cannot be removed: {answer.summary}")
        await self._client.end()
        return int(state is not None and state.running)


def _give(folder: Path, uid: int, gid: int) -> None:
    os.chown(folder, uid, gid)
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(root, name), uid, gid, follow_symlinks=False)
