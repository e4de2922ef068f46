"""The container sandbox: the agent's image, as little of this machine as possible, and one way out.

The container gets a network of its own that reaches only this machine, where the proxy listens on
the network's gateway address and accepts calls with the cell's key only.
"""

import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from cab.adapters.errors import AdapterError, RunFailed
from cab.adapters.processes.agent_process import new_mark, start_process
from cab.adapters.processes.cleanup import CleanupPlan, engine_environment, watched_cleanup
from cab.adapters.sandboxes import commands, deviations
from cab.adapters.sandboxes.base import SandboxFacts, SandboxView, StartRequest
from cab.adapters.sandboxes.check_container import ContainerChecks, open_checks
from cab.adapters.sandboxes.commands import (
    ContainerRun,
    Mount,
    create_command,
    hold_commands,
    start_command,
)
from cab.adapters.sandboxes.container_agent import ContainerAgent
from cab.adapters.sandboxes.engine import ContainerEngine, Network, find_engine
from cab.adapters.sandboxes.environment import Places, container_environment
from cab.adapters.sandboxes.images import Image
from cab.adapters.sandboxes.leftovers import own_labels, remove_leftovers
from cab.adapters.sandboxes.limits import CONTAINER_NAMES, ResourceLimits
from cab.adapters.sandboxes.ownership import give_folders
from cab.adapters.tasks.check_process import CheckSite, HostChecks

NAME: Final = "docker"

_FIX = "build it with cab images build, or give another with --image"
_MONITOR_SLACK_S = 60.0
"""How much later than cab podman's own monitor ends an agent: cab may be gone by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """How containers are run, as asked for."""

    image: str | None = None
    """Image; None takes the agent's own."""
    network: str | None = None
    """An existing network; None makes one that reaches the proxy only."""
    engine: str | None = None
    """Program to run it with; None takes docker, otherwise podman."""
    checks_image: str | None = None
    """Image that checks run in, of tasks that name none; None takes what `cab images build checks` makes."""
    deviations: tuple[str, ...] = ()
    """What the image needs: words of `deviations.ALLOWED`."""


@asynccontextmanager
async def docker_sandbox(  # noqa: PLR0913 - all that makes one container
    wanted: Container,
    images: Sequence[Image],
    check_image: Image | None,
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
        images: The images that the agent can run in, the best one first.
        check_image: The image that the checks run in; None runs them on this machine.
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
    await remove_leftovers(engine)
    found = await engine.find_image(images, _FIX)
    checks = None
    if check_image is not None:
        checks = await open_checks(engine, check_image, limits, name)
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
            holder = _holder(engine, name, network.name, found.image, str(executable))
            await stack.enter_async_context(_held(engine, holder))
        if listens:
            _require_local_gateway(network)
        yield DockerSandbox(
            engine=engine,
            image=found.image,
            digest=found.digest,
            checks=checks,
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
        yield await engine.make_network(name, own_labels(name))
    finally:
        await engine.ask("network", "rm", name)


@asynccontextmanager
async def _held(engine: ContainerEngine, holder: ContainerRun) -> AsyncGenerator[None]:
    try:
        for words in hold_commands(holder):
            answer = await engine.ask(*words)
            if answer.code:
                raise RunFailed(f"the container network cannot be brought up: {answer.summary}")
        yield
    finally:
        await engine.remove_container(holder.name)


def _holder(
    engine: ContainerEngine, name: str, network: str, image: Image, program: str
) -> ContainerRun:
    return ContainerRun(
        engine=engine.kind,
        rootless=engine.rootless,
        name=holder_of(name),
        image=image.reference,
        network=network,
        user="65534:65534",
        mounts=(),
        workdir=PurePosixPath("/"),
        settings={},
        inherited=(),
        argv=(program,),
        limits=ResourceLimits(),
        labels=own_labels(name),
        ceilings=engine.ceilings,
    )


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
    checks: ContainerChecks | None
    """Where the checks run; None is this machine."""
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
    def check_site(self) -> CheckSite:
        """Containers of the image for checks, or this machine."""
        return HostChecks(self.limits.rlimits) if self.checks is None else self.checks

    @property
    def facts(self) -> SandboxFacts:
        """What is fixed about it."""
        return SandboxFacts(
            name=NAME,
            listen_host=self.network.gateway,
            image=self.image.name,
            digest=self.digest,
            check_image=None if self.checks is None else self.checks.image.image.name,
            check_digest=None if self.checks is None else self.checks.image.digest,
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

    async def start(self, places: Places, request: StartRequest) -> ContainerAgent:
        """Make the container and start it.

        Raises:
            RunFailed: The engine does not take it.
        """
        user = give_folders(places.workdir, places.home)
        settings, inherited = self._environment(places, request)
        command = create_command(
            ContainerRun(
                engine=self.engine.kind,
                rootless=self.engine.rootless,
                name=self.name,
                image=self.image.reference,
                network=self.network.name,
                user=user,
                mounts=(
                    Mount(places.workdir, commands.WORKDIR),
                    Mount(places.home, commands.HOME),
                ),
                workdir=commands.WORKDIR,
                settings=settings,
                inherited=tuple(inherited),
                argv=request.argv,
                limits=self.limits,
                labels=own_labels(self.name),
                ceilings=self.engine.ceilings,
                limit_s=None if request.limit_s is None else request.limit_s + _MONITOR_SLACK_S,
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
            await self.engine.remove_container(self.name)
            raise
        cleanup = self.cleanup.model_copy(update={"leader": client.pid})
        folders, disk = (places.workdir, places.home), self.limits.disk
        return ContainerAgent(self.engine, self.name, client, cleanup, folders=folders, disk=disk)

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

    def _deviations(self) -> set[str]:
        found = set(self.allowed)
        # From a container nobody reads the memory, or the files, of the user that cab runs as.
        if found & {deviations.HOST_CHECKS, deviations.SOCKET}:
            found.update(self.exposed)
        if not self.network.internal:
            found.add(deviations.NETWORK)
        if not self.own_network:
            found.add(deviations.PLACED)
        if not self.limits.holds(CONTAINER_NAMES):
            found.add(deviations.NO_LIMITS)
        return found
