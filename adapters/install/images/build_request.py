"""What is asked of the build of an image: which one, on which base, with which settings of this machine."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cab.adapters.agents.base import AgentFacts, Install, PyPIInstall
from cab.adapters.agents.registry import load_adapter
from cab.adapters.errors import AdapterError
from cab.adapters.install.images.agent_need import AgentNeed, BinaryNeed
from cab.adapters.install.images.own_wheel import cab_version
from cab.adapters.sandboxes.images import parse_image

CHECKS = "checks"
"""Name of the image in which hidden checks run: tools and `cab`, no agent."""

SETTINGS = ("ca.crt", "pip.conf", "npmrc", "apt.conf", "sources.list")
"""Files of this machine that a build may use, and that no image holds."""

SETTINGS_VARIABLE = "CAB_BUILD_FILES"
WHEELS_VARIABLE = "CAB_BUILD_WHEELS"
NETWORK_VARIABLE = "CAB_BUILD_NETWORK"

PACKAGES = (
    *("python3", "python3-venv", "nodejs", "cargo", "gcc", "libc6-dev", "make"),
    *("git", "ca-certificates", "patch", "ripgrep", "procps"),
)
"""Packages of every image: what the bundled tasks need, and what agents look for."""

_DEBIAN = "docker.io/library/debian:bookworm-slim"
_DEBIAN_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One image to be built."""

    name: str
    """Of the image, with its tag."""
    title: str
    agent: AgentNeed | None
    """None for the checks, and for an agent that is a part of `cab`."""
    tui: str | None
    """Name of the agent; None for the checks."""
    version: str
    """Of the agent; of `cab` for the checks."""
    base: str
    packages: Sequence[str] = PACKAGES
    binary: Path | None = None
    settings: Mapping[str, Path] = field(default_factory=dict[str, Path])
    """Files of `SETTINGS`, by name."""
    wheels: Path | None = None
    """Folder with Python packages that pip may use beside its index."""
    network: str | None = None
    """Network of the build; None is the engine's own choice."""
    cache: bool = True
    """Whether layers of earlier builds are used again."""

    @property
    def program(self) -> str:
        """Name that starts the agent; empty where there is none."""
        return "" if self.agent is None else self.agent.need.executable


def agent_image_name(tui: str, version: str) -> str:
    """Return the name of an agent's image.

    >>> agent_image_name("aider", "0.86.2")
    'localhost/cab-agent-aider:0.86.2'
    """
    # A tag knows fewer characters than a version: a local version is written with a plus sign.
    return parse_image(f"localhost/cab-agent-{tui.lower()}:{version.replace('+', '-')}").name


def checks_image_name() -> str:
    """Return the name of the image in which hidden checks run."""
    return f"localhost/cab-checks:{cab_version().replace('+', '-')}"


def build_request(
    what: str, *, version: str | None, base: str | None, binary: Path | None
) -> BuildRequest:
    """Return what is to be built.

    Args:
        what: An agent, as `load_adapter` takes it, or `checks`.
        version: Of the agent; None takes the adapter's.
        base: Image to build on; None takes Debian's, or one with the Python that the agent needs.
        binary: The agent's program, where no package registry brings it.

    Raises:
        AdapterError: The agent is unknown, or cannot be put into an image.
    """
    if what == CHECKS:
        if version or binary:
            raise AdapterError("the checks image has no agent; remove --agent-version and --binary")
        return BuildRequest(
            name=checks_image_name(),
            title="hidden checks of CAB",
            agent=None,
            tui=None,
            version=cab_version(),
            base=base or _DEBIAN,
        )
    facts = load_adapter(what).facts
    agent = _agent(facts, version or facts.version, binary)
    return BuildRequest(
        name=agent_image_name(facts.name, version or facts.version),
        title=f"{facts.name} for CAB",
        agent=agent,
        tui=facts.name,
        version=version or facts.version,
        base=base or _default_base(facts.install if binary is None else None),
        binary=binary,
    )


def _agent(facts: AgentFacts, version: str, binary: Path | None) -> AgentNeed | None:
    if binary is not None:
        if not (binary.is_file() and os.access(binary, os.X_OK)):
            raise AdapterError(f"--binary {binary} is not a program; give an executable file")
        name = facts.install.executable if facts.install else facts.name
        return AgentNeed(
            name=facts.name, version=version, need=BinaryNeed(file="program", executable=name)
        )
    if facts.install is not None:
        return AgentNeed(name=facts.name, version=version, need=facts.install)
    if version != facts.version:
        raise AdapterError(
            f"{facts.name} comes with this package, in version {facts.version}; remove --agent-version"
        )
    return None


def _default_base(need: Install | None) -> str:
    if isinstance(need, PyPIInstall) and not (
        need.python_min <= _DEBIAN_PYTHON < need.python_below
    ):
        major, below = need.python_below
        return f"docker.io/library/python:{major}.{below - 1}-slim-bookworm"
    return _DEBIAN


def parse_settings(words: Sequence[str]) -> dict[str, Path]:
    """Return files of this machine for a build.

    Args:
        words: Each `NAME=FILE`, with a name of `SETTINGS`.

    Raises:
        AdapterError: A name is unknown, or a file cannot be read.
    """
    found: dict[str, Path] = {}
    for word in words:
        name, _, file = word.partition("=")
        if name not in SETTINGS or not file:
            raise AdapterError(
                f"{word!r} is not a file for the build; give NAME=FILE with one of {', '.join(SETTINGS)}"
            )
        path = Path(file).absolute()
        if not (path.is_file() and os.access(path, os.R_OK)):
            raise AdapterError(f"{path}, the {name} of the build, cannot be read; give another")
        found[name] = path
    return found
