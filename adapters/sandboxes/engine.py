"""A container engine on this machine, docker or podman: found, run, and its answers read."""

import asyncio
import resource
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import orjson
from pydantic import AliasChoices, AwareDatetime, BaseModel, Field, ValidationError

from cab.adapters.errors import AdapterError, RunFailed
from cab.adapters.processes.cleanup import ENGINES, engine_environment
from cab.adapters.processes.tree import RUN_MARK
from cab.adapters.sandboxes.commands import EngineKind
from cab.adapters.sandboxes.images import Image, digest_of

ASK_LIMIT_S = 120.0
PULL_LIMIT_S = 3600.0
_NETWORK_TRIES = 5
_PID_MAX = Path("/proc/sys/kernel/pid_max")


class EngineOutput(NamedTuple):
    """Exit code and output of one command of an engine."""

    code: int
    stdout: str
    stderr: str

    @property
    def summary(self) -> str:
        """The last line of the messages that is not about `--help`."""
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        relevant = [line for line in lines if "--help" not in line]
        return relevant[-1] if relevant else f"exit code {self.code}"


class Network(NamedTuple):
    """A network that containers are put into."""

    name: str
    gateway: str
    """Address of this machine in it."""
    internal: bool
    """Whether it reaches no other host."""
    subnet: str | None = None
    """Its addresses, as an engine takes them; None if they are not known."""
    resolves: bool = False
    """Whether the engine resolves names there."""


class ContainerState(NamedTuple):
    """What became of a container."""

    started: bool
    running: bool
    exit_code: int
    out_of_memory: bool
    error: str
    started_at: datetime | None = None
    """When it was started, by the engine's clock; None if that is not known."""
    finished_at: datetime | None = None
    """When it ended, the same way; of one that runs, long before."""

    @property
    def ran_s(self) -> float | None:
        """Seconds from its start to its end; None if it runs, or they are not known."""
        if self.running or self.started_at is None or self.finished_at is None:
            return None
        return max(0.0, (self.finished_at - self.started_at).total_seconds())

    @property
    def age_s(self) -> float | None:
        """Seconds since it was started; None if that is not known."""
        now = datetime.now(UTC)
        return None if self.started_at is None else (now - self.started_at).total_seconds()


class FoundImage(NamedTuple):
    """An image that an engine has."""

    image: Image
    digest: str | None
    """Its digest; None if it has none, as it came from no registry."""


@dataclass(frozen=True, slots=True)
class ContainerEngine:
    """An engine that answers."""

    program: str
    kind: EngineKind
    """Which one it is, whatever the name of its program."""
    rootless: bool
    """Whether it runs as an ordinary user."""
    mark: str | None = None
    """What its programs carry in their environment, so that they are found if we are killed."""

    async def ask(
        self,
        *words: str,
        limit_s: float = ASK_LIMIT_S,
        variables: Mapping[str, str] | None = None,
    ) -> EngineOutput:
        """Return the answer to one command.

        Args:
            words: The command and its arguments.
            limit_s: How long it may take.
            variables: What the program gets besides its own environment.

        Raises:
            RunFailed: There is none in time.
        """
        marked = {} if self.mark is None else {RUN_MARK: self.mark}
        return await _ask(self.program, words, limit_s, {**(variables or {}), **marked})

    @property
    def ceilings(self) -> dict[str, int]:
        """Ulimits of containers that cannot be above those of this process; of docker none is known.

        podman starts containers below us on Linux, and in a machine of its own elsewhere; docker below its own service.
        """
        if self.kind != "podman" or sys.platform != "linux":
            return {}
        named = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
        most = {name: resource.getrlimit(which)[1] for name, which in named.items()}
        found = {name: hard for name, hard in most.items() if hard != resource.RLIM_INFINITY}
        if "nproc" in found:  # podman lowers its own to the number of process ids
            found["nproc"] = min(found["nproc"], int(_PID_MAX.read_text()))
        return found

    async def find_image(self, wanted: Sequence[Image], fix: str) -> FoundImage:
        """Return the first of some images that is on this machine, or else can be pulled.

        Args:
            wanted: The images, the best one first.
            fix: What to do if there is none.

        Raises:
            AdapterError: None is there, and none can be pulled.
        """
        for image in wanted:
            found = await self._found(image)
            if found is not None:
                return found
        reasons = [f"image {each.reference} is not on this machine" for each in wanted]
        for number, image in enumerate(wanted):
            if image.is_local:  # no registry has it, and an engine would wait for some of them
                continue
            pulled = await self.ask("pull", image.reference, limit_s=PULL_LIMIT_S)
            found = None if pulled.code else await self._found(image)
            if found is not None:
                return found
            reasons[number] += f" and cannot be pulled ({pulled.summary})"
        raise AdapterError(f"{', '.join(reasons)}; {fix}")

    async def _found(self, image: Image) -> FoundImage | None:
        words = ("image", "inspect", "--format", "{{json .RepoDigests}}", image.reference)
        answer = await self.ask(*words)
        if answer.code:
            return None
        return FoundImage(image, digest_of(image, _loads(answer.stdout) or []))

    async def inspect_network(self, name: str) -> Network:
        """Return a network.

        Raises:
            AdapterError: There is none of that name, or this machine has no address in it.
        """
        answer = await self.ask("network", "inspect", name)
        if answer.code:
            raise AdapterError(
                f"network {name} cannot be used ({answer.summary}); correct --network"
            )
        return parse_network(name, answer.stdout)

    async def make_network(self, name: str, labels: Mapping[str, str]) -> Network:
        """Return a new network that reaches only this machine, and resolves no names.

        Raises:
            RunFailed: It cannot be made.
        """
        marked = [word for each in labels.items() for word in ("--label", "=".join(each))]
        words = ("network", "create", "--internal", *marked)
        reason = ""
        for _ in range(_NETWORK_TRIES):
            answer = await self.ask(*words, name)
            if answer.code:
                raise RunFailed(f"no container network could be created: {answer.summary}")
            network = await self.inspect_network(name)
            if not network.resolves or network.subnet is None:
                return network
            # podman's resolver in an internal network asks servers outside for whatever it does not
            # know: names alone carry data out. Without it podman gives this machine no address, unless
            # it is named together with the subnet, and that must be a free one: podman has just found one.
            await self.ask("network", "rm", name)
            place = ("--subnet", network.subnet, "--gateway", network.gateway)
            answer = await self.ask(*words, "--disable-dns", *place, name)
            if not answer.code:
                return await self.inspect_network(name)
            reason = answer.summary  # another network may have taken the subnet meanwhile
        raise RunFailed(f"no container network could be created: {reason}")

    async def remove_container(self, name: str) -> None:
        """Remove a container with its volumes, and end what runs in it; none of that name is not an error.

        Raises:
            RunFailed: It cannot be removed.
        """
        answer = await self.ask("rm", "--force", "--volumes", name)
        if answer.code and await self.state(name) is not None:
            raise RunFailed(f"container {name} cannot be removed: {answer.summary}")

    async def state(self, container: str) -> ContainerState | None:
        """Return what became of a container; None if there is none of that name."""
        answer = await self.ask("inspect", "--format", "{{json .State}}", container)
        return None if answer.code else parse_state(answer.stdout)


async def find_engine(
    wanted: str | None = None, *, otherwise: str = "or run with --sandbox local"
) -> ContainerEngine:
    """Return an engine that answers.

    Args:
        wanted: `docker` or `podman`; None takes the first that answers.
        otherwise: What helps whoever has none, for the error.

    Raises:
        AdapterError: None does.
    """
    if wanted is not None and wanted not in ENGINES:
        raise AdapterError(f"no engine {wanted!r}; known: {', '.join(ENGINES)}")
    names = (wanted,) if wanted else ENGINES
    reasons: list[str] = []
    for name in names:
        program = shutil.which(name)
        if program is None:
            reasons.append(f"{name} is not on the PATH")
            continue
        kind: EngineKind = await _kind(program)
        template = (
            "{{.Host.Security.Rootless}}" if kind == "podman" else "{{json .SecurityOptions}}"
        )
        answer = await _ask(program, ("info", "--format", template))
        if answer.code == 0:
            return ContainerEngine(name, kind, _is_rootless(answer.stdout))
        reasons.append(f"{name}: {answer.summary}")
    raise AdapterError(f"no container engine ({'; '.join(reasons)}); start one, {otherwise}")


def parse_network(name: str, text: str) -> Network:
    """Return what `network inspect` says, in docker's form or podman's.

    Raises:
        AdapterError: This machine has no address in it.
    """
    found = _validated(_NetworkAnswer, _loads(text)[0])
    subnets = [*(found.ipam.subnets or ()), *(found.subnets or ())]
    ours = next((each for each in subnets if each.gateway and ":" not in each.gateway), None)
    if ours is None or ours.gateway is None:
        raise AdapterError(
            f"this machine has no address in the network {name}; give another with --network"
        )
    gateway = ours.gateway.partition("/")[0]
    return Network(name, gateway, found.internal, ours.subnet, found.resolves)


def parse_state(text: str) -> ContainerState:
    """Return what `inspect` says of a container's state."""
    found = _validated(_StateAnswer, _loads(text))
    return ContainerState(
        started=found.status not in ("created", "initialized", "configured"),
        running=found.running,
        exit_code=found.exit_code,
        out_of_memory=found.out_of_memory,
        error=found.error or "",
        started_at=found.started_at,
        finished_at=found.finished_at,
    )


class _Subnet(BaseModel):
    gateway: str | None = Field(default=None, validation_alias=AliasChoices("Gateway", "gateway"))
    subnet: str | None = Field(default=None, validation_alias=AliasChoices("Subnet", "subnet"))


class _Ipam(BaseModel):
    subnets: list[_Subnet] | None = Field(default=None, validation_alias="Config")


class _NetworkAnswer(BaseModel):
    internal: bool = Field(default=False, validation_alias=AliasChoices("Internal", "internal"))
    ipam: _Ipam = Field(default=_Ipam(), validation_alias="IPAM")
    subnets: list[_Subnet] | None = None
    resolves: bool = Field(default=False, validation_alias="dns_enabled")


class _StateAnswer(BaseModel):
    status: str = Field(validation_alias="Status")
    running: bool = Field(default=False, validation_alias="Running")
    exit_code: int = Field(validation_alias="ExitCode")
    out_of_memory: bool = Field(default=False, validation_alias="OOMKilled")
    error: str | None = Field(default=None, validation_alias="Error")
    started_at: AwareDatetime | None = Field(default=None, validation_alias="StartedAt")
    finished_at: AwareDatetime | None = Field(default=None, validation_alias="FinishedAt")


ModelT = TypeVar("ModelT", bound=BaseModel)


def _loads(text: str) -> Any:  # noqa: ANN401 - whatever the engine says
    try:
        return orjson.loads(text)
    except ValueError as error:
        raise _unreadable(text) from error


def _validated(model: type[ModelT], data: object) -> ModelT:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _unreadable(str(data)) from error


def _unreadable(text: str) -> RunFailed:
    return RunFailed(f"the container engine's answer cannot be read: {text[:80]!r}")


def _is_rootless(text: str) -> bool:
    return text.strip() == "true" or "rootless" in text


async def _kind(program: str) -> EngineKind:
    # podman also installs a program called docker.
    answer = await _ask(program, ("--version",))
    return "podman" if answer.stdout.startswith("podman") else "docker"


async def _ask(
    program: str,
    words: Sequence[str],
    limit_s: float = ASK_LIMIT_S,
    variables: Mapping[str, str] | None = None,
) -> EngineOutput:
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            *words,
            env={**engine_environment(), **(variables or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise RunFailed(f"{program} cannot be started: {error.strerror}") from error
    try:
        async with asyncio.timeout(limit_s):
            stdout, stderr = await process.communicate()
    except TimeoutError as error:
        raise RunFailed(f"{program} {words[0]} gave no answer in {limit_s:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None  # it has been waited for
    return EngineOutput(
        process.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace")
    )
