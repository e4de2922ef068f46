"""A container engine on this machine, docker or podman: found, run, and its answers read."""

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import orjson
from pydantic import AliasChoices, BaseModel, Field, ValidationError

from cab.adapters.errors import AdapterError, RunFailed
from cab.adapters.processes.cleanup import ENGINES, engine_environment
from cab.adapters.processes.tree import RUN_MARK
from cab.adapters.sandboxes.commands import EngineKind
from cab.adapters.sandboxes.images import Image, digest_of

ASK_LIMIT_S = 120.0
PULL_LIMIT_S = 3600.0


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


class ContainerState(NamedTuple):
    """What became of a container."""

    started: bool
    running: bool
    exit_code: int
    out_of_memory: bool
    error: str


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

    async def image_digest(self, image: Image) -> str | None:
        """Return the digest of an image, which is pulled if it is missing.

        Raises:
            AdapterError: It is missing and cannot be pulled.
        """
        words = ("image", "inspect", "--format", "{{json .RepoDigests}}", image.reference)
        answer = await self.ask(*words)
        if answer.code:
            pulled = await self.ask("pull", image.reference, limit_s=PULL_LIMIT_S)
            if pulled.code:
                raise AdapterError(
                    f"image {image.reference} is not on this machine and cannot be pulled ({pulled.summary}); "
                    "build it, or give another with --image"
                )
            answer = await self.ask(*words)
        return digest_of(image, _loads(answer.stdout) or [])

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

    async def make_network(self, name: str) -> Network:
        """Return a new network that reaches only this machine.

        Raises:
            RunFailed: It cannot be made.
        """
        words = ("network", "create", "--internal", "--label", "cab.cell", name)
        answer = await self.ask(*words)
        if answer.code:
            raise RunFailed(f"no container network could be created: {answer.summary}")
        return await self.inspect_network(name)

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
    gateways = (subnet.gateway for subnet in subnets)
    gateway = next((each for each in gateways if each and ":" not in each), None)
    if gateway is None:
        raise AdapterError(
            f"this machine has no address in the network {name}; give another with --network"
        )
    return Network(name, gateway.partition("/")[0], found.internal)


def parse_state(text: str) -> ContainerState:
    """Return what `inspect` says of a container's state."""
    found = _validated(_StateAnswer, _loads(text))
    return ContainerState(
        started=found.status not in ("created", "initialized", "configured"),
        running=found.running,
        exit_code=found.exit_code,
        out_of_memory=found.out_of_memory,
        error=found.error or "",
    )


class _Subnet(BaseModel):
    gateway: str | None = Field(default=None, validation_alias=AliasChoices("Gateway", "gateway"))


class _Ipam(BaseModel):
    subnets: list[_Subnet] | None = Field(default=None, validation_alias="Config")


class _NetworkAnswer(BaseModel):
    internal: bool = Field(default=False, validation_alias=AliasChoices("Internal", "internal"))
    ipam: _Ipam = Field(default=_Ipam(), validation_alias="IPAM")
    subnets: list[_Subnet] | None = None


class _StateAnswer(BaseModel):
    status: str = Field(validation_alias="Status")
    running: bool = Field(default=False, validation_alias="Running")
    exit_code: int = Field(validation_alias="ExitCode")
    out_of_memory: bool = Field(default=False, validation_alias="OOMKilled")
    error: str | None = Field(default=None, validation_alias="Error")


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
