"""Command lines for a container engine: made from facts alone, so that they can be read and tested."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, Literal, NamedTuple

from cab.adapters.sandboxes.deviations import ROOT, SOCKET, WRITABLE
from cab.adapters.sandboxes.limits import ResourceLimits

NO_NETWORK: Final = "none"
"""Network of a container that reaches nothing."""

STOP_S: Final = 1
"""Seconds between SIGTERM and SIGKILL when an engine removes a container; whoever ran it has waited before."""

WORKDIR: Final = PurePosixPath("/workspace")
"""The workspace inside, as on the published pages."""

HOME: Final = PurePosixPath("/home/agent")
"""HOME inside."""

TEMPORARY: Final = PurePosixPath("/tmp")

_SOCKET: Final = "/var/run/docker.sock"
_TMPFS: Final = f"{TEMPORARY}:rw,exec,nosuid,nodev,mode=1777"  # some agents unpack libraries there
_HIDDEN: Final = "/opt/cab:ro,noexec,nosuid,nodev,size=4k,mode=0555"
"""An empty folder where images that `cab images build` makes have cab: with it come the answers of the checks."""
_ROOT_USER: Final = "0:0"
_NO_RESOLVER: Final = "127.0.0.1"  # inside the container, where nothing listens

EngineKind = Literal["docker", "podman"]


class Mount(NamedTuple):
    """A folder of this machine in a container."""

    source: Path
    target: PurePosixPath
    read_only: bool = False


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
    """`uid:gid` of the program, never root unless that is allowed."""
    mounts: Sequence[Mount]
    workdir: PurePosixPath
    """Where the program begins."""
    settings: Mapping[str, str]
    """Environment without secrets: stands on the command line."""
    inherited: Sequence[str]
    """Names of variables whose values the engine takes from its own environment."""
    argv: Sequence[str]
    """Program and arguments inside."""
    limits: ResourceLimits
    labels: Mapping[str, str]
    """By which it is found if it is left behind."""
    ceilings: Mapping[str, int] = field(default_factory=dict[str, int])
    """Ulimit -> the most that the engine can set."""
    limit_s: float | None = None
    """Seconds after which podman's monitor ends it, although nobody asks any more; None is never."""
    allowed: frozenset[str] = frozenset()
    """Deviations that the image needs."""


def create_command(run: ContainerRun) -> list[str]:
    """Return the arguments that make a container without starting it."""
    return ["create", *_options(run)]


def run_command(run: ContainerRun) -> list[str]:
    """Return the arguments that run a container to its end; the program reads what the engine reads."""
    return ["run", "--interactive", *_options(run)]


def _options(run: ContainerRun) -> list[str]:
    return [
        *("--name", run.name, *_labels(run.labels), "--pull", "never"),
        *("--network", run.network, *_resolver(run), "--workdir", str(run.workdir)),
        *_user(run),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *(() if WRITABLE in run.allowed else ("--read-only",)),
        *("--tmpfs", _TMPFS, "--tmpfs", _hidden(run.engine)),
        # An engine's own log of the output would fill the disk.
        *("--log-driver", "none", "--stop-timeout", str(STOP_S)),
        *_limits(run),
        *_mounts(run),
        *_environment(run),
        *("--entrypoint", run.argv[0], run.image, *run.argv[1:]),
    ]


def start_command(name: str) -> list[str]:
    """Return the arguments that start a container and print its output, the two streams separately."""
    return ["start", "--attach", name]


def hold_commands(run: ContainerRun) -> list[list[str]]:
    """Return the commands that bring up a network of podman without running anything in it.

    The gateway address exists only while a container is in the network; a container that is
    initialised and never started is enough.
    """
    return [create_command(run), ["init", run.name]]


def _labels(labels: Mapping[str, str]) -> list[str]:
    return [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]


def _hidden(engine: EngineKind) -> str:
    # podman copies what the image has there, unless it is told not to; docker never does.
    return f"{_HIDDEN},notmpcopyup" if engine == "podman" else _HIDDEN


def _resolver(run: ContainerRun) -> list[str]:
    # docker's resolver asks servers outside for a container that reaches no other host itself; podman's
    # is turned off with the network.
    return ["--dns", _NO_RESOLVER] if run.engine == "docker" and run.network != NO_NETWORK else []


def _user(run: ContainerRun) -> list[str]:
    if ROOT in run.allowed:
        return ["--user", _ROOT_USER]
    # Without its own id inside, the agent of a rootless engine could not write to the workspace.
    userns = ["--userns", "keep-id"] if run.engine == "podman" and run.rootless else []
    return ["--user", run.user, *userns]


def _limits(run: ContainerRun) -> list[str]:
    limits, words = run.limits, list[str]()
    if limits.memory is not None:
        # --memory-swap counts memory and swap together: equal limits mean no swap.
        words += ["--memory", f"{limits.memory}b", "--memory-swap", f"{limits.memory}b"]
    if limits.cpus is not None:
        words += ["--cpus", f"{limits.cpus:g}"]
    if limits.processes is not None:
        words += ["--pids-limit", str(limits.processes)]
    for name, value in _ulimits(limits.ulimits, run.ceilings).items():
        words += ["--ulimit", f"{name}={value}:{value}"]
    if run.limit_s is not None and run.engine == "podman":
        words += ["--timeout", str(math.ceil(run.limit_s))]
    return words


def _ulimits(wanted: Mapping[str, int], ceilings: Mapping[str, int]) -> dict[str, int]:
    """Return the limits to ask for.

    Of a limit that is not named podman takes a default of its own, which an engine without the right
    to raise limits cannot set: each one that has a ceiling is named.
    """
    lowered = {name: min(wanted.get(name, most), most) for name, most in ceilings.items()}
    return {**wanted, **lowered}


def _mounts(run: ContainerRun) -> list[str]:
    mounts = list(run.mounts)
    if SOCKET in run.allowed:
        mounts.append(Mount(Path(_SOCKET), PurePosixPath(_SOCKET)))
    return [word for mount in mounts for word in _mount(mount, run.engine)]


def _mount(mount: Mount, engine: EngineKind) -> list[str]:
    source, target, read_only = mount
    if engine == "podman":
        # Z: where SELinux is on, a container reads nothing that is not labelled as its own.
        options = [*(["ro"] if read_only else []), *(["Z"] if str(source) != _SOCKET else [])]
        return [
            "--volume",
            ":".join([str(source), str(target), *filter(None, [",".join(options)])]),
        ]
    ending = ",readonly" if read_only else ""
    return ["--mount", f"type=bind,src={source},dst={target}{ending}"]


def _environment(run: ContainerRun) -> list[str]:
    settings = [
        word for name, value in run.settings.items() for word in ("--env", f"{name}={value}")
    ]
    return [*settings, *(word for name in run.inherited for word in ("--env", name))]
