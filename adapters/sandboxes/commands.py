"""Command lines for a container engine: made from facts alone, so that they can be read and tested."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from cab.adapters.sandboxes.deviations import ROOT, SOCKET, WRITABLE
from cab.adapters.sandboxes.limits import ResourceLimits

WORKDIR: Final = PurePosixPath("/workspace")
"""The workspace inside, as on the published pages."""

HOME: Final = PurePosixPath("/home/agent")
"""HOME inside."""

TEMPORARY: Final = PurePosixPath("/tmp")

_SOCKET: Final = "/var/run/docker.sock"
_TMPFS: Final = f"{TEMPORARY}:rw,exec,nosuid,nodev,mode=1777"  # some agents unpack libraries there
_ROOT_USER: Final = "0:0"

EngineKind = Literal["docker", "podman"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRun:
    """One container to be run."""

    engine: EngineKind
    rootless: bool
    """Whether the engine runs as an ordinary user."""
    name: str
    image: str
    """The image, as an engine takes it."""
    network: str
    user: str
    """`uid:gid` of the agent, never root unless that is allowed."""
    workdir: Path
    """The workspace on this machine."""
    home: Path
    """HOME on this machine."""
    settings: Mapping[str, str]
    """Environment without secrets: stands on the command line."""
    inherited: Sequence[str]
    """Names of variables whose values the engine takes from its own environment."""
    argv: Sequence[str]
    """Program and arguments inside."""
    limits: ResourceLimits
    allowed: frozenset[str] = frozenset()
    """Deviations that the image needs."""


def create_command(run: ContainerRun) -> list[str]:
    """Return the arguments that make a container without starting it."""
    return [
        *("create", "--name", run.name, "--label", "cab.cell", "--pull", "never"),
        *("--network", run.network, "--workdir", str(WORKDIR)),
        *_user(run),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *(() if WRITABLE in run.allowed else ("--read-only",)),
        *("--tmpfs", _TMPFS),
        *_limits(run.limits),
        *_mounts(run),
        *_environment(run),
        *("--entrypoint", run.argv[0], run.image, *run.argv[1:]),
    ]


def start_command(name: str) -> list[str]:
    """Return the arguments that start a container and print its output, the two streams separately."""
    return ["start", "--attach", name]


def hold_commands(name: str, network: str, image: str, program: str) -> list[list[str]]:
    """Return the commands that bring up a network of podman without running anything in it.

    The gateway address exists only while a container is in the network; a container that is
    initialised and never started is enough.
    """
    closed = ("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only")
    return [
        [
            *("create", "--name", name, "--label", "cab.cell", "--pull", "never"),
            *("--network", network, *closed, "--entrypoint", program, image),
        ],
        ["init", name],
    ]


def _user(run: ContainerRun) -> list[str]:
    if ROOT in run.allowed:
        return ["--user", _ROOT_USER]
    # Without its own id inside, the agent of a rootless engine could not write to the workspace.
    userns = ["--userns", "keep-id"] if run.engine == "podman" and run.rootless else []
    return ["--user", run.user, *userns]


def _limits(limits: ResourceLimits) -> list[str]:
    words: list[str] = []
    if limits.memory is not None:
        # --memory-swap counts memory and swap together: equal limits mean no swap.
        words += ["--memory", f"{limits.memory}b", "--memory-swap", f"{limits.memory}b"]
    if limits.cpus is not None:
        words += ["--cpus", f"{limits.cpus:g}"]
    if limits.processes is not None:
        words += ["--pids-limit", str(limits.processes)]
    for name, value in limits.ulimits.items():
        words += ["--ulimit", f"{name}={value}:{value}"]
    return words


def _mounts(run: ContainerRun) -> list[str]:
    pairs = {str(run.workdir): str(WORKDIR), str(run.home): str(HOME)}
    if SOCKET in run.allowed:
        pairs[_SOCKET] = _SOCKET
    if run.engine == "podman":
        # Z: where SELinux is on, a container reads nothing that is not labelled as its own.
        return [
            word
            for src, dst in pairs.items()
            for word in ("--volume", f"{src}:{dst}{'' if src == _SOCKET else ':Z'}")
        ]
    return [
        word for src, dst in pairs.items() for word in ("--mount", f"type=bind,src={src},dst={dst}")
    ]


def _environment(run: ContainerRun) -> list[str]:
    settings = [
        word for name, value in run.settings.items() for word in ("--env", f"{name}={value}")
    ]
    return [*settings, *(word for name in run.inherited for word in ("--env", name))]
